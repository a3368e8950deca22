"""A source whose structures are all read once and kept in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdn.data.progress import tracked
from tdn.data.source_base import Source
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.elements import SYMBOLS


class Loaded(Source):
    """Structures of a source, read at construction and pickled to worker processes."""

    def __init__(self, source: Source):
        names = ", ".join(source.file_names)
        self.structures = list(tracked(source, len(source), f"reading {names}"))
        self._file_names, self._left_out = source.file_names, source.left_out
        self._fingerprint, self._groups = source.fingerprint(), source.get_groups()
        self._unread = source.unread_labels()

    def __len__(self) -> int:
        return len(self.structures)

    def __getitem__(self, index: int) -> Structure:
        return self.structures[self.checked_index(index)]

    @property
    def file_names(self) -> list[str]:
        """Names of the source's files."""
        return self._file_names

    @property
    def left_out(self) -> dict[str, int]:
        """What the source left out."""
        return self._left_out

    def unread_labels(self) -> UnreadLabels:
        """Unread labels of the source."""
        return self._unread

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them."""
        return np.array([index for index, one in enumerate(self.structures) if len(one) == 1], dtype=np.int64)

    def fingerprint(self) -> str:
        """Hash of the source when it was read."""
        return self._fingerprint

    def get_groups(self) -> NDArray[np.int64] | None:
        """Groups of the source."""
        return self._groups

    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, by atomic number."""
        numbers = np.unique(np.concatenate([structure.numbers for structure in self.structures]))
        return tuple(SYMBOLS[number - 1] for number in numbers.tolist())
