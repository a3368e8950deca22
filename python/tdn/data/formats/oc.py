"""OC20 and OC22: slabs with adsorbates in LMDB shards, as ASE rows or, in the older format, as pickled graphs.

Energies are as in the files: in OC20 relative to the clean slab and gas-phase molecules, in OC22 total. The tasks are
``s2ef``, energy and forces of a structure, and ``is2re``, the initial structure labeled with the energy of the relaxed
one.

Rows may hold labels under any name: the search for unread labels examines rows of all shards. The names of
graphs (y, force) and the label of is2re (y_relaxed) are fixed, and the search reports this; other names in a graph that
look like labels are reported, though no option reads them.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.lmdb_file import LmdbFile, shards_of
from tdn.data.formats.oc_graphs import GraphShard
from tdn.data.formats.oc_rows import RowShard
from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.progress import tracked
from tdn.data.source_base import Source, added, hashed, locate
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.errors import TDNError, suggest

TASKS = ("s2ef", "is2re")
#: Number of structures, evenly spread over the shards, whose names are examined.
LOOKED_AT = 5_000


class Shard(Protocol):
    """One file, in either format."""

    file: LmdbFile
    left_out: dict[str, int]

    def __len__(self) -> int: ...

    def structure(self, index: int, task: str) -> Structure:
        """Structure with its labels."""

    def unread(self, index: int) -> UnreadLabels:
        """Unread labels of a structure in task s2ef."""

    def system(self, index: int) -> Any:
        """Identity of the relaxation to which it belongs; None if the file does not say."""


class OpenCatalyst(Source):
    """Structures of one or several shards."""

    def __init__(self, paths: list[Path], task: str, keys: LabelKeys = DEFAULT_KEYS):
        self.task, self.keys = task, keys
        self.shards: list[Shard] = [open_shard(path, keys) for path in paths]
        self._ends = list(accumulate(len(shard) for shard in self.shards))
        self._stamps = [shard.file.stamp() for shard in self.shards]

    def __len__(self) -> int:
        return self._ends[-1]

    def _place(self, index: int) -> tuple[Shard, int]:
        part, place = locate(self._ends, self.checked_index(index))
        return self.shards[part], place

    def __getitem__(self, index: int) -> Structure:
        shard, inner = self._place(index)
        return shard.structure(inner, self.task)

    @property
    def file_names(self) -> list[str]:
        """Names of the shards."""
        return [shard.file.path.name for shard in self.shards]

    @property
    def left_out(self) -> dict[str, int]:
        """Contents of the shards that this source leaves out."""
        return added(shard.left_out for shard in self.shards)

    def unread_labels(self) -> UnreadLabels:
        """Unread labels of at most 5,000 structures, evenly spread over the shards."""
        if self.task == "is2re":
            return UnreadLabels(fixed=frozenset({"OC20, task is2re: y_relaxed"}))
        indices = np.linspace(0, len(self) - 1, min(len(self), LOOKED_AT)).astype(int).tolist()
        return sum((shard.unread(inner) for shard, inner in map(self._place, indices)), UnreadLabels())

    def fingerprint(self) -> str:
        """Hash of the shards' names, sizes, times of change and numbers of entries, and of the task."""
        return hashed("oc", self._stamps, self.task, asdict(self.keys))

    @cached_property
    def _groups(self) -> NDArray[np.int64] | None:
        """A number for each relaxation; reads every entry once."""
        places = (self._place(index) for index in range(len(self)))
        counted = tracked(places, len(self), f"relaxations of {', '.join(self.file_names)}")
        systems = [shard.system(inner) for shard, inner in counted]
        if all(system is None for system in systems):
            return None
        # a structure whose relaxation is unknown is a group by itself
        names = [f"alone {n}" if system is None else f"sid {system}" for n, system in enumerate(systems)]
        hashes = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 for name in names]
        return np.unique(np.array(hashes, dtype=np.int64), return_inverse=True)[1].astype(np.int64).reshape(-1)

    def get_groups(self) -> NDArray[np.int64] | None:
        """Relaxation (``sid``) of each structure."""
        return self._groups


def open_shard(path: Path, keys: LabelKeys = DEFAULT_KEYS) -> Shard:
    """Open a file in the format of its first entry; only rows may have labels with other names."""
    file = LmdbFile(path)
    for key in file.all_keys():
        if key.isdigit():
            content = file.get(key) or b""
            shard: Shard = RowShard(file, keys) if is_zlib(content) else GraphShard(file)
            if len(shard) and isinstance(shard, GraphShard) and keys != DEFAULT_KEYS:
                raise TDNError(f"'{path}' holds graphs, whose labels have fixed names; omit energy_key and the like")
            if len(shard):
                return shard
    raise TDNError(f"'{path}' holds no structures with the keys of OC20; give another file or another format")


def is_zlib(content: bytes) -> bool:
    """Whether a value begins like zlib data: rows are compressed, pickles begin with other bytes."""
    return len(content) > 1 and content[0] == 0x78 and int.from_bytes(content[:2], "big") % 31 == 0


def open_oc(path: Path, task: str = "s2ef", **options: Any) -> OpenCatalyst:
    """Open a file or a folder of files, ``*.lmdb`` or ``*.aselmdb``.

    Args:
        path: the file or folder.
        task: ``s2ef`` or ``is2re``.
        options: names of the labels of ASE rows, :data:`tdn.data.formats.registry.KEY_OPTIONS`.
    """
    if task not in TASKS:
        raise TDNError(f"task is {task!r}{suggest(str(task), TASKS)}; known are {', '.join(TASKS)}")
    keys = LabelKeys.from_options(options)
    if task == "is2re" and keys != DEFAULT_KEYS:
        raise TDNError(f"task is2re reads y_relaxed, so omit {' and '.join(options)}")
    return OpenCatalyst(shards_of(path), task, keys)
