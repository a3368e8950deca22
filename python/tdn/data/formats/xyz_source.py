"""Extended XYZ with random access."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.file_source import FileSource, check_is_file
from tdn.data.formats.xyz_frame import FrameProblem, read_frame
from tdn.data.formats.xyz_header import columns_of
from tdn.data.formats.xyz_index import read_index
from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels, unread_in
from tdn.errors import TDNError


class XyzSource(FileSource):
    """Keeps the offsets of the frames, 8 bytes each, and parses frames on demand."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        self.offsets, self.layouts, self.one_atom = read_index(path)
        super().__init__(path, keys)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Structure:
        index = self.checked_index(index)
        name = self.name_of(index)
        try:
            return read_frame(self.text(index), name, self.keys)
        except FrameProblem as problem:
            line = lines_before(self.path, int(self.offsets[index])) + problem.line + 1
            raise TDNError(f"{name}, line {line}: {problem}") from None
        except (ValueError, IndexError):
            raise TDNError(f"{name}: '{self.path}' has changed since it was opened; start again") from None

    def text(self, index: int) -> str:
        """Text of a frame."""
        start, end = self.offsets[index : index + 2].tolist()
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start).decode("utf-8", errors="replace")

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them: the index has the number of atoms of every frame."""
        return self.one_atom

    def unread_labels(self) -> UnreadLabels:
        """Of every frame, from the names that the index has."""
        found = UnreadLabels()
        for layout, count in self.layouts.items():
            try:
                columns = {name: column.width for name, column in columns_of(layout.properties).items()}
            except TDNError:  # reported when such a frame is read
                columns = {}
            found += unread_in(layout.entries, columns, self.keys, count, layout.extra > 0)
        return found


def open_xyz(path: Path, **options: Any) -> XyzSource:
    """Open a file; options: names of the labels."""
    check_is_file(path)
    return XyzSource(path, LabelKeys.from_options(options))


def lines_before(path: Path, place: int) -> int:
    """Number of lines that end before a byte of the file."""
    count = 0
    with open(path, "rb") as file:
        while place > 0:
            block = file.read(min(place, 1 << 20))
            if not block:
                break
            count, place = count + block.count(b"\n"), place - len(block)
    return count
