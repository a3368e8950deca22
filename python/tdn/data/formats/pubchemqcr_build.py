"""Builds the index of a PubChemQCR shard: one pass for all requested stages, continued where it was interrupted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

import numpy as np

from tdn.data.formats.lmdb_file import LmdbFile, shards_of
from tdn.data.formats.pubchemqcr_index import (
    RECORD,
    StageIndex,
    Summary,
    index_homes,
    is_writable,
    packed,
    read_summary,
)
from tdn.data.formats.pubchemqcr_record import Trajectory, read_entry, read_stage
from tdn.data.progress import tracked
from tdn.errors import TDNError, suggest

#: Entries between two records of the progress: an interrupted run repeats at most this many.
NOTE_EVERY = 2000

UNREADABLE = "trajectory that cannot be unzipped"

#: Stages that a user can name, and the stages of an entry that they comprise. As in the published loader, 1st is what
#: Firefly and SMASH calculated, 1st_smash only what SMASH did, and mixing is both stages of density functional theory.
STAGES: dict[str, tuple[str, ...]] = {
    "pm3": ("pm3",),
    "hf": ("hf",),
    "1st": ("DFT_1st",),
    "1st_smash": ("DFT_1st",),
    "2nd": ("DFT_2nd",),
    "mixing": ("DFT_1st", "DFT_2nd"),
}


def checked_stage(stage: str) -> tuple[str, ...]:
    """Stages of an entry that a user's stage comprises."""
    if stage not in STAGES:
        raise TDNError(f"stage is {stage!r}{suggest(str(stage), STAGES)}; known are {', '.join(STAGES)}")
    return STAGES[stage]


def index_shards(paths: Sequence[Path], stage: str, folder: Path | None, n_workers: int) -> Iterator[StageIndex]:
    """Indices of many shards, built by several processes, one shard each.

    Args:
        paths: shards or folders of them.
        stage: as a user names it.
        folder: where indices are kept, if not beside the shards.
        n_workers: number of processes.
    """
    stages = checked_stage(stage)
    if n_workers < 1:
        raise TDNError(f"the number of workers is {n_workers}; give at least 1")
    for path in paths:
        if not path.exists():
            raise TDNError(f"data file '{path}' does not exist; correct the path")
    shards = [shard for path in paths for shard in shards_of(path, (".lmdb",))]
    work = partial(open_indices, stages=stages, folder=folder)
    if n_workers == 1 or len(shards) == 1:
        made = [work(shard) for shard in shards]
    else:
        with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(work, shards))
    return (index for indices in made for index in indices)


def open_indices(shard: Path, stages: Sequence[str], folder: Path | None = None) -> list[StageIndex]:
    """Indices of the stages of a shard, built if they are missing or the shard has changed.

    Several processes may call this at the same time: one builds the index, the others wait.

    Raises:
        TDNError: the shard cannot be read, an entry has the wrong form, or no folder can be written.
    """
    file = LmdbFile(shard)
    state = file.stamp()
    homes = index_homes(shard, folder)
    home = next((home for home in homes if all(is_ready(home / stage, state) for stage in stages)), None)
    if home is None:
        home = next((home for home in homes if is_writable(home)), homes[0])
        try:
            home.mkdir(parents=True, exist_ok=True)
            with locked(home / "lock"):
                build(file, state, [stage for stage in stages if not is_ready(home / stage, state)], home)
        except OSError as problem:
            raise TDNError(
                f"no index of '{shard}' can be written to '{home}' ({problem.strerror}); "
                "name a folder with enough space in index_folder"
            ) from None
    return [StageIndex(home / stage) for stage in stages]


def is_ready(folder: Path, state: list[Any]) -> bool:
    """Whether a finished index of exactly this shard exists."""
    found = read_summary(folder / "index.json")
    return found is not None and found[0].fits(state)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that vanishes with the process; without a lock if the file system has none."""
    with open(path, "w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(file: LmdbFile, state: list[Any], stages: Sequence[str], home: Path) -> None:
    """Unpack the stages and put their indices in place."""
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(contextlib.closing(StageWriter(home, stage, state))) for stage in stages]
        if writers:
            unpack(file, writers)
        for writer in writers:
            writer.finish()


def unpack(file: LmdbFile, writers: Sequence[StageWriter]) -> None:
    """Go through the shard, starting where an earlier run was interrupted."""
    if len({writer.done for writer in writers}) > 1:  # stages that were started at different times start over together
        for writer in writers:
            writer.restart()
    n_done, after = writers[0].done
    entries = tracked(file.items(after), file.count(), f"indexing {file.path.name}", n_done)
    for number, (key, content) in enumerate(entries, start=n_done + 1):
        cid = cid_of(key, file.path)
        entry = read_entry(content, f"entry {key.decode(errors='replace')} of {file.path.name}")
        for writer in writers:
            writer.add(cid, entry)
            if number % NOTE_EVERY == 0:
                writer.note(number, key)


def cid_of(key: bytes, path: Path) -> int:
    """Number of the molecule."""
    if not key.isdigit():
        raise TDNError(f"'{path}' has the key {key!r}, which is not a number of PubChem; give a shard of PubChemQCR")
    return int(key)


class StageWriter:
    """The index of one stage while it is being built, in ``STAGE.part``."""

    def __init__(self, home: Path, stage: str, state: list[Any]):
        self.final, self.folder = home / stage, home / f"{stage}.part"
        self.stage, self.state = stage, state
        self.folder.mkdir(exist_ok=True)
        found = read_summary(self.folder / "progress.json")
        if found is not None and found[0].fits(state):
            self.summary, rest = found
            self._open(rest["sizes"])
            self.done: tuple[int, bytes | None] = rest["n_done"], bytes.fromhex(rest["after"])
            self.counts, self.elements = Counter(self.summary.left_out), set(self.summary.elements)
        else:
            self._begin()

    def _begin(self) -> None:
        self.summary = Summary(self.state, self.stage)
        self._open([0, 0])
        self.done = 0, None
        self.counts, self.elements = Counter(), set()

    def _open(self, sizes: Sequence[int]) -> None:
        self._files: list[IO[bytes]] = []
        for name, size in zip(("table", "snapshots"), sizes, strict=True):
            file = open(self.folder / name, "ab")  # noqa: SIM115 (closed in close)
            file.truncate(size)
            self._files.append(file)
        self._sizes = list(sizes)

    def restart(self) -> None:
        """Start over."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def add(self, cid: int, entry: dict[str, Any] | None) -> None:
        """Unpack one entry."""
        if entry is None:
            self.counts[UNREADABLE] += 1
            return
        trajectory = read_stage(entry, self.stage, self.counts)
        if trajectory is not None:
            self._append(cid, trajectory)

    def _append(self, cid: int, trajectory: Trajectory) -> None:
        n_steps, n_atoms, _ = trajectory.positions.shape
        record = (cid, n_atoms, n_steps, self._sizes[1], trajectory.smash)
        for which, content in enumerate((np.array([record], dtype=RECORD).tobytes(), packed(trajectory))):
            self._files[which].write(content)
            self._sizes[which] += len(content)
        self.summary.n_trajectories += 1
        self.summary.n_snapshots += n_steps
        self.elements.update(trajectory.numbers.tolist())

    def _flush(self) -> None:
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        self.summary.left_out = dict(self.counts)
        self.summary.elements = sorted(self.elements)

    def note(self, n_done: int, after: bytes) -> None:
        """Record the progress, so that an interrupted run continues here."""
        self._flush()
        self.summary.write(self.folder / "progress.json", n_done=n_done, after=after.hex(), sizes=self._sizes)

    def finish(self) -> None:
        """Put the index in place; that of an older shard is removed."""
        self._flush()
        self.close()
        self.summary.write(self.folder / "index.json")
        (self.folder / "progress.json").unlink(missing_ok=True)
        shutil.rmtree(self.final, ignore_errors=True)
        os.replace(self.folder, self.final)
