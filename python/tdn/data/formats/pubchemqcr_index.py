"""Index of one stage of a PubChemQCR shard: its numbers are unpacked once, so that a snapshot is one small read.

``NAME.index/STAGE/`` is beside the shard, or in a cache folder if the shard's folder cannot be written. It holds

* ``table``: one record per trajectory (:data:`RECORD`), in the order of the keys,
* ``snapshots``: for each trajectory its atomic numbers (uint8, padded to 8 bytes), then for each step the energy
  (float64, eV), the positions (float64, angstrom) and the forces (float32, eV/angstrom: the files have no more than
  7 digits), padded to 8 bytes,
* ``index.json``: the identity of the indexed shard, counts, and what was left out.

Reads are plain ``pread``: a process keeps no data in memory and maps no file, however large the data are.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.pubchemqcr_record import Trajectory
from tdn.errors import TDNError

VERSION = 1

#: A trajectory: key, number of atoms and steps, offset in ``snapshots``, calculated with SMASH or not.
RECORD = np.dtype([("cid", "i8"), ("n_atoms", "i4"), ("n_steps", "i4"), ("place", "i8"), ("smash", "i8")])


@dataclass
class Summary:
    """Contents of ``index.json``."""

    shard: list[Any]  #: name, size, time of change, number of entries
    stage: str
    n_trajectories: int = 0
    n_snapshots: int = 0
    elements: list[int] = field(default_factory=list)  #: atomic numbers, ascending
    left_out: dict[str, int] = field(default_factory=dict)
    version: int = VERSION

    def fits(self, shard: list[Any]) -> bool:
        """Whether the shard is unchanged since it was indexed."""
        return self.version == VERSION and self.shard == shard

    def write(self, path: Path, **more: Any) -> None:
        """Write it atomically."""
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps({**asdict(self), **more}, indent=1))
        os.replace(temporary, path)


def read_summary(path: Path) -> tuple[Summary, dict[str, Any]] | None:
    """Summary in a file and the other entries there; None if it cannot be read."""
    try:
        values = json.loads(path.read_text())
        known = {name: values.pop(name) for name in Summary.__dataclass_fields__}
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return Summary(**known), values


def padded(size: int) -> int:
    """The next multiple of 8."""
    return (size + 7) // 8 * 8


def step_size(n_atoms: int) -> int:
    """Bytes of one step: energy, positions, forces."""
    return padded(8 + 24 * n_atoms + 12 * n_atoms)


def packed(trajectory: Trajectory) -> bytes:
    """A trajectory as stored in ``snapshots``."""
    n_steps, n_atoms, _ = trajectory.positions.shape
    steps = np.zeros((n_steps, step_size(n_atoms)), dtype=np.uint8)
    steps[:, :8] = trajectory.energies.astype("<f8").reshape(-1, 1).view(np.uint8)
    ends = (8 + 24 * n_atoms, 8 + 36 * n_atoms)
    steps[:, 8 : ends[0]] = trajectory.positions.astype("<f8").reshape(n_steps, -1).view(np.uint8)
    steps[:, ends[0] : ends[1]] = trajectory.forces.astype("<f4").reshape(n_steps, -1).view(np.uint8)
    return trajectory.numbers.tobytes().ljust(padded(n_atoms), b"\0") + steps.tobytes()


class StageIndex:
    """Random access to the snapshots of one stage of one shard; pickles as its path."""

    def __init__(self, folder: Path):
        self.folder = folder
        found = read_summary(folder / "index.json")
        if found is None:
            raise TDNError(f"the index '{folder}' is damaged; delete this folder; it will be rebuilt")
        self.summary = found[0]
        self._files: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    def __del__(self) -> None:
        for file in self.__dict__.get("_files", {}).values():
            os.close(file)

    def table(self) -> NDArray[Any]:
        """All trajectories, :data:`RECORD`."""
        return np.fromfile(self.folder / "table", dtype=RECORD)

    def trajectory(self, row: int) -> Any:
        """Record of one trajectory."""
        return np.frombuffer(self._read("table", RECORD.itemsize, row * RECORD.itemsize), dtype=RECORD)[0]

    def snapshot(
        self, row: int, step: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float, int]:
        """Atomic numbers, positions (angstrom), forces (eV/angstrom), energy (eV) and key of one step."""
        cid, n_atoms, _, place, _ = self.trajectory(row).item()
        size = step_size(n_atoms)
        numbers = np.frombuffer(self._read("snapshots", n_atoms, place), dtype=np.uint8)
        content = self._read("snapshots", size, place + padded(n_atoms) + step * size)
        positions = np.frombuffer(content, "<f8", 3 * n_atoms, 8).reshape(n_atoms, 3).astype(np.float64)
        forces = np.frombuffer(content, "<f4", 3 * n_atoms, 8 + 24 * n_atoms).reshape(n_atoms, 3).astype(np.float64)
        energy = float(np.frombuffer(content, "<f8", 1)[0])
        return numbers.astype(np.int64), positions, forces, energy, cid

    def _read(self, name: str, size: int, place: int) -> bytes:
        if name not in self._files:
            self._files[name] = os.open(self.folder / name, os.O_RDONLY)
        content = os.pread(self._files[name], size, place)
        if len(content) != size:
            raise TDNError(
                f"the index '{self.folder}' is shorter than it should be; delete this folder; it will be rebuilt"
            )
        return content


def index_homes(shard: Path, folder: Path | None = None) -> list[Path]:
    """Folders where the indices of a shard may be: the requested one, or beside the shard, then in the user's cache."""
    name = f"{shard.name}.index"
    if folder is not None:
        return [folder / name]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = hashlib.sha256(str(shard.resolve()).encode()).hexdigest()[:16]
    return [shard.parent / name, cache / "tdn" / f"{place}-{name}"]


def is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder, which may not exist yet."""
    existing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    return os.access(existing, os.W_OK)
