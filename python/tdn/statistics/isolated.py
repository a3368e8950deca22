"""Structures of one atom: which are isolated, and whether their energies agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tdn.data.neighbors import neighbor_list
from tdn.data.structure import Structure
from tdn.elements import SYMBOLS
from tdn.errors import TDNError

#: Largest difference (eV) between energies of the same isolated atom that counts as rounding.
SAME_ENERGY = 1e-6


@dataclass(frozen=True)
class SingleAtom:
    """A structure of one atom."""

    name: str  #: of the structure
    element: str
    energy: float  #: eV, NaN if it has none
    image: float  #: distance to its nearest periodic image in angstrom, infinite if not periodic

    def is_isolated(self, cutoff: float) -> bool:
        """Whether no periodic image is within the cutoff (angstrom)."""
        return self.image >= cutoff


def single_atom(structure: Structure) -> SingleAtom | None:
    """Description of a structure of one atom, None for others."""
    if len(structure) != 1:
        return None
    energy = math.nan if structure.energy is None else structure.energy
    return SingleAtom(structure.name, SYMBOLS[structure.numbers[0] - 1], energy, nearest_image(structure))


def nearest_image(structure: Structure) -> float:
    """Distance of the first atom to its nearest periodic image, angstrom."""
    if not structure.pbc.any():
        return math.inf
    shortest = float(np.linalg.norm(structure.cell[structure.pbc], axis=1).min())
    vectors = neighbor_list(structure.positions[:1], structure.cell, structure.pbc, 1.001 * shortest)[2]
    return float(np.linalg.norm(vectors, axis=1).min())


def disagreement(isolated: Iterable[SingleAtom]) -> str | None:
    """The first two isolated atoms of one element with different energies, in a sentence; None if all agree."""
    first: dict[str, SingleAtom] = {}
    for atom in isolated:
        if math.isnan(atom.energy):
            continue
        other = first.setdefault(atom.element, atom)
        if abs(atom.energy - other.energy) > SAME_ENERGY:
            return (
                f"{other.name} and {atom.name} are both an isolated atom of {atom.element} but have the energies "
                f"{other.energy:.10g} and {atom.energy:.10g} eV; keep the right one"
            )
    return None


def check_agreement(isolated: Iterable[SingleAtom]) -> None:
    """Refuse isolated atoms of one element with different energies.

    Raises:
        TDNError: two energies differ; the message names both structures.
    """
    sentence = disagreement(isolated)
    if sentence:
        raise TDNError(sentence)


def crystals_note(singles: Sequence[SingleAtom], cutoff: float) -> str | None:
    """Single atoms that are not isolated, in a line for the user; None if there are none."""
    crystals = [atom for atom in singles if not atom.is_isolated(cutoff)]
    if not crystals:
        return None
    nearest = min(crystals, key=lambda atom: atom.image)
    elements = " ".join(sorted({atom.element for atom in crystals}, key=SYMBOLS.index))
    return (
        f"Note: {len(crystals)} structures of one atom ({elements}) are crystals, not isolated atoms: images are "
        f"within the cutoff of {cutoff:g} angstrom ({nearest.image:.3g} in {nearest.name})."
    )
