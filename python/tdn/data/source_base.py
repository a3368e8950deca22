"""The interface of every kind of file with structures: random access, read on demand.

A source may be pickled to worker processes and survives a fork: files are opened when first used in a process.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.elements import SYMBOLS


class Source(ABC):
    """Random access to structures."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Structure: ...

    def __iter__(self) -> Iterator[Structure]:
        return (self[index] for index in range(len(self)))

    @property
    @abstractmethod
    def file_names(self) -> list[str]:
        """Names of the files, without folders."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash that changes when the files or the options change."""

    @property
    def left_out(self) -> dict[str, int]:
        """Contents of the files that this source leaves out: reason and count."""
        return {}

    @abstractmethod
    def unread_labels(self) -> UnreadLabels:
        """Names in the files that look like labels but are not read; formats with fixed names say which these are."""

    def one_atom_indices(self) -> NDArray[np.int64]:
        """Indices of the structures of one atom, ascending, if they are known without reading every structure."""
        return np.zeros(0, dtype=np.int64)

    def get_groups(self) -> NDArray[np.int64] | None:
        """Trajectory of each structure, shape ``(len,)``, for splits; None if structures are independent."""
        return None

    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, by atomic number; reads every structure unless the source knows them."""
        found: set[int] = set()
        for structure in self:
            found.update(np.unique(structure.numbers).tolist())
        return tuple(SYMBOLS[number - 1] for number in sorted(found))

    def checked_index(self, index: int) -> int:
        """Index from the start."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"structure {index} of {len(self)} in {', '.join(self.file_names)}")
        return int(index) % len(self)


def locate(ends: Sequence[int], index: int) -> tuple[int, int]:
    """Part that holds an item, and the item's index in it; ``ends`` are the running sums of the parts' lengths."""
    part = bisect_right(ends, index)
    return part, index - (ends[part - 1] if part else 0)


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums of counts by reason."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


def hashed(*parts: Any) -> str:
    """Hash of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def stamp(path: str | Path) -> list[Any]:
    """Name, size and time of change of a file: a cheap way to detect that it has changed."""
    found = os.stat(path)
    return [Path(path).name, found.st_size, found.st_mtime_ns]
