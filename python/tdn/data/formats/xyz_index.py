"""Positions of the frames in an extended XYZ file, and the names in them; the file is read once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.xyz_header import pairs_of, unquoted
from tdn.errors import TDNError, quoted

#: Lines read at a time, which limits the memory if a number of atoms is far too large.
_BLOCK = 100_000


class Layout(NamedTuple):
    """Names in a frame."""

    entries: frozenset[str]  #: keys of the comment line
    properties: str | None  #: the text of ``Properties``
    extra: int  #: columns without a name, if there are no ``Properties``


class XyzIndex(NamedTuple):
    """Frames of a file."""

    offsets: NDArray[np.int64]  #: (n_frames + 1,) byte at which each frame begins, and the end
    layouts: Counter[Layout]  #: number of frames with these names
    one_atom: NDArray[np.int64]  #: frames of one atom


def read_index(path: Path) -> XyzIndex:
    """Go through the file once.

    Blank lines before, between and after frames are skipped.

    Raises:
        TDNError: a frame does not begin with its number of atoms, or the file ends within a frame.
    """
    offsets: list[int] = []
    one_atom: list[int] = []
    layouts: Counter[Layout] = Counter()
    place, line_number, earlier = 0, 1, ""
    with open(path, "rb") as file:
        line = file.readline()
        while line:
            if not line.strip() or (offsets and line.lstrip().startswith(b"VEC")):
                place, line_number = place + len(line), line_number + 1
                line = file.readline()
                continue
            where = f"structure {len(offsets)} of {path.name}, line {line_number}: "
            n_atoms = atoms_of(line, where, earlier)
            earlier = f", or the number of atoms in line {line_number}, {quoted(line.strip().decode(errors='replace'))}"
            if n_atoms == 1:
                one_atom.append(len(offsets))
            offsets.append(place)
            comment = file.readline()
            layout, size, n_read = frame_of(file, comment, n_atoms)
            if not comment or n_read < n_atoms:
                raise TDNError(
                    f"{where}the file ends after {n_read} of {n_atoms} atoms; complete or remove the structure"
                )
            layouts[layout] += 1
            place, line_number = place + len(line) + len(comment) + size, line_number + 2 + n_atoms
            line = file.readline()
    return XyzIndex(np.array([*offsets, place], dtype=np.int64), layouts, np.array(one_atom, dtype=np.int64))


def atoms_of(line: bytes, where: str, earlier: str) -> int:
    """Number of atoms from a frame's first line."""
    if re.fullmatch(rb"\s*[0-9]{1,18}\s*", line):
        return int(line)
    text = quoted(line.rstrip(b"\r\n").decode(errors="replace"))
    raise TDNError(f"{where}{text} is where the number of atoms should be; correct this line{earlier}")


def frame_of(file: IO[bytes], comment: bytes, n_atoms: int) -> tuple[Layout, int, int]:
    """Names in a frame, bytes and number of its atoms' lines."""
    size = n_read = 0
    first = b""
    for block in blocks(file, n_atoms):
        first = first or block[0]
        size, n_read = size + sum(map(len, block)), n_read + len(block)
    return layout_of(comment, first), size, n_read


def blocks(file: IO[bytes], n_lines: int) -> Iterator[list[bytes]]:
    """The next lines, fewer at the end of the file."""
    while n_lines > 0:
        block = list(islice(file, min(n_lines, _BLOCK)))
        if not block:
            return
        yield block
        n_lines -= len(block)


def layout_of(comment: bytes, first: bytes) -> Layout:
    """Names in a comment line and in the first atom's line."""
    entries = dict(pairs_of(comment.decode("utf-8", errors="replace")))
    properties = entries.pop("Properties", None)
    extra = max(len(first.split()) - 4, 0) if properties is None else 0
    return Layout(frozenset(entries), None if properties is None else unquoted(properties), extra)
