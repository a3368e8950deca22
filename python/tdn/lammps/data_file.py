"""The text of a LAMMPS data file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tdn.errors import TDNError
from tdn.lammps.box import LammpsBox
from tdn.lammps.units import Units

if TYPE_CHECKING:
    from ase import Atoms

#: Columns before the coordinates by atom style. Molecule IDs are 0, charges are the structure's initial charges (e).
COLUMNS = {
    "atomic": "{id} {type}",
    "charge": "{id} {type} {charge:.17g}",
    "molecular": "{id} 0 {type}",
    "full": "{id} 0 {type} {charge:.17g}",
}


def data_text(
    atoms: Atoms,
    elements: Sequence[str],
    box: LammpsBox,
    units: Units,
    atom_style: str = "atomic",
    masses: Sequence[float] | None = None,
) -> str:
    """Data file with every digit of the positions; atom IDs count from 1 in the order of the structure.

    Args:
        atoms: the structure.
        elements: chemical symbol of each atom type.
        box: ``LammpsBox.around(atoms)``.
        units: unit style of the run that reads the file.
        atom_style: ``atomic``, ``charge``, ``molecular`` or ``full``.
        masses: mass of each atom type in dalton; those of the elements when None.

    Raises:
        TDNError: an element has no type, or the atom style is not known.
    """
    if atom_style not in COLUMNS:
        raise TDNError(f"atom_style {atom_style!r} cannot be written; use one of {' '.join(COLUMNS)}")
    types = types_of(atoms, elements)
    lines = ["written by tdn", "", f"{len(atoms)} atoms", f"{len(elements)} atom types", *_box_lines(box, units)]
    weights = [mass * units.dalton for mass in (masses or _masses(elements))]
    lines += ["", "Masses", "", *(f"{k} {mass:.17g}" for k, mass in enumerate(weights, start=1))]
    if len(atoms):
        lines += ["", f"Atoms # {atom_style}", ""]
    positions = atoms.positions @ box.rotation.T * units.angstrom
    rows = zip(types, atoms.get_initial_charges(), positions, strict=True)
    for k, (kind, charge, (x, y, z)) in enumerate(rows, start=1):
        columns = COLUMNS[atom_style].format(id=k, type=kind, charge=charge)
        lines.append(f"{columns} {x:.17g} {y:.17g} {z:.17g}")
    return "\n".join(lines) + "\n"


def types_of(atoms: Atoms, elements: Sequence[str]) -> list[int]:
    """LAMMPS's type (from 1) of each atom."""
    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(elements))
    if missing:
        raise TDNError(
            f"element {missing[0]} of the structure is not among the elements {list(elements)}; add it there"
        )
    return [elements.index(symbol) + 1 for symbol in symbols]


def _box_lines(box: LammpsBox, units: Units) -> list[str]:
    low = box.low * units.angstrom
    high = (box.low + np.diag(box.cell)) * units.angstrom
    lines = [f"{low[k]:.17g} {high[k]:.17g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if box.tilts:
        lines.append(" ".join(f"{tilt * units.angstrom:.17g}" for tilt in box.tilts) + " xy xz yz")
    return lines


def _masses(elements: Sequence[str]) -> list[float]:
    from ase.data import atomic_masses, atomic_numbers

    unknown = [element for element in elements if element not in atomic_numbers]
    if unknown:
        raise TDNError(f"{unknown[0]!r} in elements is not a chemical symbol; write one such as O per atom type")
    return [float(atomic_masses[atomic_numbers[element]]) for element in elements]
