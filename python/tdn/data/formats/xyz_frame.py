"""One frame of an extended XYZ file; every error names its line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.xyz_header import Column, cell_of, columns_of, header_of, number, periods_of, value_of
from tdn.data.labels import LabelKeys, Labels, read_labels
from tdn.data.structure import Structure
from tdn.elements import ATOMIC_NUMBERS, SYMBOLS
from tdn.errors import TDNError, quoted

_TRUE, _FALSE = ("T", "True", "TRUE", "true", "1"), ("F", "False", "FALSE", "false", "0")


class FrameProblem(TDNError):
    """What is wrong with a frame, and in which of its lines (from 0)."""

    def __init__(self, line: int, sentence: str):
        super().__init__(sentence)
        self.line = line


def read_frame(text: str, name: str, keys: LabelKeys) -> Structure:
    """Structure of a frame.

    Args:
        text: the frame, starting with its number of atoms, possibly followed by cell vectors (``VEC1 x y z``) or blank
            lines.
        name: of the structure.
        keys: names of the labels.

    Raises:
        FrameProblem: something cannot be read.
    """
    lines = text.split("\n")
    n_atoms = int(lines[0])
    header, columns, cell, periodic = header_line(lines[1], keys)
    if cell is None:
        cell, given = appended_cell(lines, 2 + n_atoms)
        periodic = periodic | given
    rows = rows_of(lines[2 : 2 + n_atoms], columns, "Properties" in header)
    labels = labels_of(label_values(header, rows, columns, keys), keys, cell, bool(periodic.all()))
    structure = Structure(
        numbers=elements_of(rows, columns),
        positions=table(rows, columns["pos"], "pos"),
        cell=cell,
        pbc=periodic,
        energy=labels.energy,
        forces=labels.forces,
        stress=labels.stress,
        fixed=fixed_of(rows, columns),
        tags=tags_of(rows, columns),
        name=name,
    )
    wrong = structure.problem()
    if wrong:
        raise FrameProblem(1, f"{wrong}; repair or remove the structure")
    return structure


def header_line(
    line: str, keys: LabelKeys
) -> tuple[dict[str, str], dict[str, Column], NDArray[np.float64] | None, NDArray[np.bool_]]:
    """Entries, columns, cell and periodic directions of a comment line."""
    try:
        header = header_of(line, (keys.energy, keys.stress))
        cell = cell_of(header)
        return header, columns_of(header.get("Properties")), cell, periods_of(header, default=cell is not None)
    except TDNError as problem:
        raise FrameProblem(1, str(problem)) from None


def labels_of(values: dict[str, Any], keys: LabelKeys, cell: NDArray[np.float64], periodic: bool) -> Labels:
    """Labels among the values; errors in them are in the comment line."""
    try:
        return read_labels(values, keys, cell, periodic)
    except TDNError as problem:
        raise FrameProblem(1, str(problem)) from None


def rows_of(lines: Sequence[str], columns: dict[str, Column], exact: bool) -> list[list[str]]:
    """Words of each atom's line; ``exact``: exactly as many as the columns need, else at least as many."""
    rows = [line.split() for line in lines]
    width = sum(column.width for column in columns.values())
    for row_number, row in enumerate(rows):
        if len(row) < width or (exact and len(row) > width):
            what = "Properties name" if exact else "an atom without Properties needs"
            raise FrameProblem(
                2 + row_number,
                f"{quoted(lines[row_number])} has {len(row)} columns but {what} {width}; correct the line",
            )
    return rows


def table(rows: Sequence[Sequence[str]], column: Column, name: str) -> NDArray[np.float64]:
    """Numbers of a property, shape ``(n_atoms, width)``."""
    first, end = column.first, column.first + column.width
    words = [word for row in rows for word in row[first:end]]
    try:
        values = np.fromiter(map(float, words), dtype=np.float64, count=len(words))
    except ValueError:
        raise first_problem(rows, column, name) from None
    if not np.isfinite(values).all() or "_" in "".join(words):  # Python reads 1_000 as a number
        raise first_problem(rows, column, name)
    return values.reshape(len(rows), column.width)


def first_problem(rows: Sequence[Sequence[str]], column: Column, name: str) -> FrameProblem:
    """The first word that is not a finite number."""
    for row_number, row in enumerate(rows):
        for word in row[column.first : column.first + column.width]:
            try:
                if not math.isfinite(number(word)):
                    return FrameProblem(
                        2 + row_number, f"{name} has {quoted(word)}, which is not a finite number; correct it"
                    )
            except ValueError:
                return FrameProblem(
                    2 + row_number, f"{name} has {quoted(word)}, which is not a number; {cure_of(word)}"
                )
    return FrameProblem(2, f"{name} has a value that is not a number; correct it")


def cure_of(word: str) -> str:
    """What to do about a word that is not a number."""
    if set(word) == {"*"}:
        return "Fortran writes stars for a number that is too wide for its format: use a wider format"
    if word.strip("+-.0123456789dD") == "" and any(letter in word for letter in "dD"):
        return "Fortran's exponents D are not read: write E"
    return "correct it"


def elements_of(rows: Sequence[Sequence[str]], columns: dict[str, Column]) -> NDArray[np.int64]:
    """Atomic numbers (n_atoms,), from a column ``Z`` if there is one, else from symbols."""
    if "Z" in columns:
        name, found = "Z", whole_numbers(rows, columns["Z"], "Z")
        if "species" in columns:
            check_symbols(rows, columns, found)
    else:
        name, found = "species", numbers_of_symbols(rows, columns["species"])
    wrong = np.flatnonzero((found < 1) | (found > len(SYMBOLS)))
    if len(wrong):
        word = rows[wrong[0]][columns[name].first]
        raise FrameProblem(
            2 + int(wrong[0]), f"{quoted(word)} is not an element; write chemical symbols such as C or Si"
        )
    return found


def numbers_of_symbols(rows: Sequence[Sequence[str]], column: Column) -> NDArray[np.int64]:
    """Atomic numbers (n_atoms,), 0 for a word that is not a symbol."""
    return np.array([ATOMIC_NUMBERS.get(row[column.first].capitalize(), 0) for row in rows], dtype=np.int64)


def check_symbols(rows: Sequence[Sequence[str]], columns: dict[str, Column], numbers: NDArray[np.int64]) -> None:
    """Refuse a symbol of another element than the atomic number; other words are names of atoms or the like."""
    symbols = numbers_of_symbols(rows, columns["species"])
    wrong = np.flatnonzero((symbols != numbers) & (symbols > 0))
    if len(wrong):
        symbol, number = (rows[wrong[0]][columns[name].first] for name in ("species", "Z"))
        raise FrameProblem(
            2 + int(wrong[0]), f"species is {quoted(symbol)} but Z is {quoted(number)}; correct one of them"
        )


def whole_numbers(rows: Sequence[Sequence[str]], column: Column, name: str) -> NDArray[np.int64]:
    """Whole numbers of a property with one column, (n_atoms,)."""
    values = table(rows, column, name)[:, 0]
    wrong = np.flatnonzero((values != np.round(values)) | (abs(values) > 2**53))
    if len(wrong):
        word = rows[wrong[0]][column.first]
        raise FrameProblem(2 + int(wrong[0]), f"{name} has {quoted(word)}, which is not a whole number; correct it")
    return values.astype(np.int64)


def fixed_of(rows: Sequence[Sequence[str]], columns: dict[str, Column]) -> NDArray[np.bool_] | None:
    """Atoms that ``move_mask`` holds in all its directions, (n_atoms,); None if there are none."""
    if "move_mask" not in columns:
        return None
    _, first, width = columns["move_mask"]
    for row_number, row in enumerate(rows):
        for word in row[first : first + width]:
            if word not in (*_TRUE, *_FALSE):
                raise FrameProblem(2 + row_number, f"move_mask has {quoted(word)}; write T or F")
    fixed = np.array([not any(word in _TRUE for word in row[first : first + width]) for row in rows], dtype=bool)
    return fixed if fixed.any() else None


def tags_of(rows: Sequence[Sequence[str]], columns: dict[str, Column]) -> NDArray[np.int64] | None:
    """Tags (n_atoms,); None if there are none."""
    return whole_numbers(rows, columns["tags"], "tags") if "tags" in columns else None


def label_values(
    header: dict[str, str], rows: Sequence[Sequence[str]], columns: dict[str, Column], keys: LabelKeys
) -> dict[str, Any]:
    """The values in the frame under the names of the labels."""
    values = {key: value_of(header[key]) for key in (keys.energy, keys.stress) if key in header}
    found = values.get(keys.stress)
    if isinstance(found, list) and np.size(found) == 6:  # programs order six components differently
        raise FrameProblem(1, f"{keys.stress} is {quoted(header[keys.stress])}, 6 values; write all 9 components")
    if keys.forces in columns:
        column = columns[keys.forces]
        if column.kind != "R" or column.width != 3:
            raise FrameProblem(1, f"Properties has {keys.forces}:{column.kind}:{column.width}; forces are R:3")
        values[keys.forces] = table(rows, column, keys.forces)
    return values


def appended_cell(lines: Sequence[str], first: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cell (3, 3) and directions (3,) from lines ``VEC1 x y z`` after the atoms; zeros if there are none."""
    cell, given = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    for line_number, line in enumerate(lines[first:], start=first):
        words = line.split()
        if not words:
            continue
        try:
            index = ("VEC1", "VEC2", "VEC3").index(words[0])
            cell[index] = [number(word) for word in words[1:]]
        except ValueError:
            raise FrameProblem(line_number, f"{quoted(line)} is not a cell vector; write VEC1 x y z") from None
        given[index] = True
    return cell, given
