"""One structure with its labels in plain numpy, as every source of data gives it, whatever its file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.labels import DEFAULT_KEYS, LabelKeys, read_labels
from tdn.elements import SYMBOLS
from tdn.errors import TDNError

if TYPE_CHECKING:
    from ase import Atoms

#: Largest coordinate, angstrom: larger ones are not a structure of atoms, and neighbor lists cannot handle such boxes.
LARGEST = 1e7
#: Largest label in eV and angstrom: far above the energy of a million heavy atoms, below what float32 can square.
LARGEST_LABEL = 1e15


@dataclass(frozen=True)
class Structure:
    """Atoms, cell and labels; a missing label is None."""

    numbers: NDArray[np.int64]  #: (n_atoms,) atomic numbers
    positions: NDArray[np.float64]  #: (n_atoms, 3) angstrom
    cell: NDArray[np.float64]  #: (3, 3) angstrom, rows are cell vectors, zero for a missing one
    pbc: NDArray[np.bool_]  #: (3,)
    energy: float | None = None  #: eV, total
    forces: NDArray[np.float64] | None = None  #: (n_atoms, 3) eV/angstrom
    stress: NDArray[np.float64] | None = (
        None  #: (3, 3) eV/angstrom^3, tension positive; only if periodic in three directions
    )
    fixed: NDArray[np.bool_] | None = None  #: (n_atoms,) atoms that were held: their forces are not labels
    tags: NDArray[np.int64] | None = None  #: (n_atoms,) OC20, OC22: 0 below the surface, 1 surface, 2 adsorbate
    name: str = "structure"  #: its origin, for messages: "structure 3 of water.xyz"

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def from_atoms(cls, atoms: Atoms, name: str = "structure", keys: LabelKeys = DEFAULT_KEYS) -> Structure:
        """From an ASE structure, with labels from its calculator's stored results and fixed atoms from its constraints.

        Args:
            atoms: the structure.
            name: its origin, for messages.
            keys: names of the labels among the results, ``atoms.arrays`` and ``atoms.info``.

        Raises:
            TDNError: a shape is wrong, a value is not finite or an element unknown; the message starts with ``name``.
        """
        cell = np.array(atoms.cell.array, dtype=np.float64)
        try:
            labels = read_labels(named_values(atoms), keys, cell, bool(atoms.pbc.all()))
        except TDNError as problem:
            raise TDNError(f"{name}: its {problem}") from None
        return cls(
            numbers=np.asarray(atoms.numbers, dtype=np.int64),
            positions=np.array(atoms.positions, dtype=np.float64),
            cell=cell,
            pbc=np.array(atoms.pbc, dtype=bool),
            energy=labels.energy,
            forces=labels.forces,
            stress=labels.stress,
            fixed=fixed_atoms(atoms),
            tags=np.array(atoms.get_tags(), dtype=np.int64) if atoms.has("tags") else None,
            name=name,
        ).checked()

    def to_atoms(self) -> Atoms:
        """As an ASE structure with the labels as results of a single-point calculator."""
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator
        from ase.constraints import FixAtoms
        from ase.stress import full_3x3_to_voigt_6_stress

        atoms = Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc, tags=self.tags)
        if self.fixed is not None and self.fixed.any():
            atoms.set_constraint(FixAtoms(mask=self.fixed))
        results: dict[str, Any] = {"energy": self.energy, "forces": self.forces, "stress": self.stress}
        if self.stress is not None:
            results["stress"] = full_3x3_to_voigt_6_stress(self.stress)
        given = {name: value for name, value in results.items() if value is not None}
        if given:
            atoms.calc = SinglePointCalculator(atoms, **given)
        return atoms

    def checked(self) -> Structure:
        """This structure, if its shapes fit, its numbers are finite and its elements exist."""
        problem = self.problem()
        if problem:
            raise TDNError(f"{self.name}: {problem}; repair or remove the structure")
        return self

    def problem(self) -> str | None:
        """What is wrong with the structure in a few words, None if nothing is."""
        n_atoms = len(self.numbers)
        if n_atoms == 0:
            return "it has no atoms"
        strange = self.numbers[(self.numbers < 1) | (self.numbers > len(SYMBOLS))]
        if len(strange):
            return f"it has an atom with atomic number {strange[0]}, which is not an element"
        shapes: dict[str, tuple[int, ...]] = {
            "positions": (n_atoms, 3),
            "cell": (3, 3),
            "forces": (n_atoms, 3),
            "stress": (3, 3),
            "fixed": (n_atoms,),
            "tags": (n_atoms,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                return f"its {name} have shape {value.shape}, not {shape}"
        for name in ("positions", "cell", "energy", "forces", "stress"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value).all():
                return f"its {name} hold a value that is not a finite number"
        for name in ("energy", "forces", "stress"):
            value = getattr(self, name)
            if value is not None and abs(np.asarray(value)).max() > LARGEST_LABEL:
                return f"its {name} hold {abs(np.asarray(value)).max():.3g}, which is beyond {LARGEST_LABEL:.0e}"
        return self.unusable_cell()

    def unusable_cell(self) -> str | None:
        """What is wrong with positions and cell together."""
        largest = max(abs(self.positions).max(), abs(self.cell).max())
        if largest > LARGEST:
            return f"it has a coordinate of {largest:.3g} angstrom, beyond {LARGEST:.0e}"
        lengths = np.linalg.norm(self.cell, axis=1)
        periodic = self.cell[self.pbc] / np.where(lengths > 0, lengths, 1.0)[self.pbc, None]
        if len(periodic) and np.linalg.matrix_rank(periodic, tol=1e-6) < len(periodic):
            return f"it is periodic in {len(periodic)} directions but its cell {self.cell.tolist()} is not"
        return None


def named_values(atoms: Atoms) -> dict[str, Any]:
    """Everything in an ASE structure by name, including key-value pairs and data of a database row."""
    values: dict[str, Any] = {}
    for part in (atoms.info.get("data"), atoms.info.get("key_value_pairs")):
        values.update(part if isinstance(part, dict) else {})
    results = atoms.calc.results if atoms.calc is not None else {}
    return {**values, **atoms.info, **atoms.arrays, **results}


def fixed_atoms(atoms: Atoms) -> NDArray[np.bool_] | None:
    """Atoms that constraints hold in all three directions, shape ``(n_atoms,)``; None if there are none."""
    from ase.constraints import FixAtoms, FixCartesian

    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        whole = isinstance(constraint, FixCartesian) and np.all(constraint.mask)
        if whole or isinstance(constraint, FixAtoms):
            fixed[constraint.index] = True
    return fixed if fixed.any() else None
