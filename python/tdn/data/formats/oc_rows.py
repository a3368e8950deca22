"""LMDB files of ASE rows: ``zlib(json)`` under the keys 1, 2, ..., beside ``nextid``, ``deleted_ids``, ``metadata``."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.lmdb_file import LmdbFile
from tdn.data.labels import DEFAULT_KEYS, LabelKeys, read_labels
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels, looks_like, shape_of, unread_among
from tdn.errors import TDNError, shown
from tdn.files import first_line


class RowShard:
    """One file."""

    def __init__(self, file: LmdbFile, keys: LabelKeys = DEFAULT_KEYS):
        self.file, self.keys = file, keys
        next_id, deleted = self._reserved("nextid"), self._reserved("deleted_ids") or []
        self.left_out = {"deleted row": len(deleted)} if deleted else {}
        self.ids: Sequence[int] | NDArray[np.int64]
        if next_id is None:  # not written by ASE's own code: count the entries
            self.ids = np.array(sorted(int(key) for key in file.all_keys() if key.isdigit()), dtype=np.int64)
        else:
            self.ids = range(1, int(next_id))
        if deleted:
            self.ids = np.setdiff1d(np.asarray(self.ids, dtype=np.int64), deleted)

    def __len__(self) -> int:
        return len(self.ids)

    def _reserved(self, key: str) -> Any:
        content = self.file.get(key.encode())
        return None if content is None else self._decode(content, f"'{key}' of {self.file.path.name}")

    def _decode(self, content: bytes, what: str) -> Any:
        try:
            return json.loads(zlib.decompress(content), object_hook=without_marker)
        except (zlib.error, ValueError) as problem:
            raise TDNError(f"{what} is not compressed JSON ({first_line(problem)}); give a complete file") from None

    def row(self, index: int) -> tuple[dict[str, Any], str]:
        """A row, with its values and data in one dictionary, and its name."""
        number = int(self.ids[index])
        name = f"row {number} of {self.file.path.name}"
        content = self.file.get(str(number).encode())
        if content is None:
            raise TDNError(f"{name} is missing but not marked as deleted; write the file again")
        row = self._decode(content, name)
        if not isinstance(row, dict):
            raise TDNError(f"{name} is a {type(row).__name__}, not a row of ASE; give files of OC20 or OC22")
        for extra in ("key_value_pairs", "data"):
            values = row.get(extra)
            if isinstance(values, Mapping):
                row = {**values, **row}
        return row, name

    def structure(self, index: int, task: str) -> Structure:
        """Structure of a row."""
        row, name = self.row(index)
        try:
            return structure_of(row, name, task, self.keys)
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            reason = (
                f"has no {shown(str(problem))}"
                if isinstance(problem, KeyError)
                else f"is malformed ({first_line(problem)})"
            )
            raise TDNError(f"{name} {reason}; give files of OC20 or OC22 with positions, cell and labels") from None

    def unread(self, index: int) -> UnreadLabels:
        """Names of a row that look like labels but are not read."""
        row, _ = self.row(index)
        n_atoms = (*shape_of(row.get("numbers")), 0)[0]
        return unread_among({name: value for name, value in row.items() if value is not None}, n_atoms, self.keys)

    def system(self, index: int) -> Any:
        """The row's ``sid``."""
        return self.row(index)[0].get("sid")


def structure_of(row: Mapping[str, Any], name: str, task: str, keys: LabelKeys) -> Structure:
    """Structure with its labels.

    Raises:
        TDNError: the energy of the task is missing, a shape is wrong, or a value is not finite.
        KeyError: positions or numbers are missing.
    """
    numbers = np.asarray(row["numbers"], dtype=np.int64)
    keys = keys if task == "s2ef" else LabelKeys(energy="y_relaxed")
    if row.get(keys.energy) is None:
        others = ", ".join(shown(other, 40) for other in energies_of(row) if other != keys.energy)
        instead = f" (it has {others}: select one with energy_key)" if others and task == "s2ef" else ""
        raise TDNError(
            f"{name} has no {keys.energy}, the energy of task {task}{instead}; choose another task or other files"
        )
    pbc = np.array(row.get("pbc", [False] * 3), dtype=bool)
    cell = np.array(row.get("cell", np.zeros((3, 3))), dtype=np.float64)
    used = row if task == "s2ef" else {keys.energy: row[keys.energy]}
    try:
        labels = read_labels(used, keys, cell, bool(pbc.all()))
    except TDNError as problem:
        raise TDNError(f"{name}: its {problem}") from None
    return Structure(
        numbers=numbers,
        positions=np.array(row["positions"], dtype=np.float64),
        cell=cell,
        pbc=pbc,
        energy=labels.energy,
        forces=labels.forces,
        stress=labels.stress,
        fixed=fixed_of(row.get("constraints", []), len(numbers)),
        tags=None if row.get("tags") is None else np.array(row["tags"], dtype=np.int64),
        name=name,
    ).checked()


def energies_of(row: Mapping[str, Any]) -> list[str]:
    """Names in a row that look like an energy."""
    return [name for name in row if looks_like(name, 0) == "energy_key"]


def fixed_of(constraints: Any, n_atoms: int) -> NDArray[np.bool_] | None:
    """Atoms of the constraints FixAtoms, shape ``(n_atoms,)``; None if there are none."""
    fixed = np.zeros(n_atoms, dtype=bool)
    for constraint in json.loads(constraints) if isinstance(constraints, str) else constraints:
        if constraint["name"] == "FixAtoms":
            fixed[np.asarray(constraint["kwargs"]["indices"], dtype=np.int64)] = True
    return fixed if fixed.any() else None


def without_marker(value: dict[str, Any]) -> Any:
    """An array that ASE's JSON stores as shape, type and numbers."""
    if set(value) == {"__ndarray__"}:
        shape, kind, numbers = value["__ndarray__"]
        return np.array(numbers, dtype=np.dtype(str(kind))).reshape(shape)
    return value
