"""Contents of a source, and what its user should know before training."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdn.data.arrays import TOO_CLOSE, check_distances
from tdn.data.neighbors import neighbor_list
from tdn.data.progress import tracked
from tdn.data.source import Source
from tdn.data.structure import Structure
from tdn.elements import SYMBOLS
from tdn.errors import TDNError
from tdn.statistics.isolated import SingleAtom, crystals_note, disagreement, single_atom
from tdn.statistics.units import UnitCheck

#: Default cutoff of a model, angstrom: a single atom with images within it is a crystal.
CUTOFF = 5.0


class Findings:
    """Counts over the structures of a source."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.n_periodic = 0
        self.numbers: set[int] = set()
        self.labels = dict.fromkeys(("energy", "forces", "stress", "fixed", "tags"), 0)
        self.unlabeled: list[str] = []
        self.singles: list[SingleAtom] = []
        self.units = UnitCheck()

    def add(self, structure: Structure) -> None:
        """Count one structure.

        Raises:
            TDNError: atoms overlap, which training would refuse.
        """
        check_overlap(structure)
        self.sizes.append(len(structure))
        self.n_periodic += bool(structure.pbc.any())
        self.numbers.update(structure.numbers.tolist())
        for label in self.labels:
            self.labels[label] += getattr(structure, label) is not None
        if structure.energy is None and structure.forces is None:
            self.unlabeled.append(structure.name)
        single = single_atom(structure)
        if single is not None:
            self.singles.append(single)
        self.units.add_structure(structure)

    def notes(self) -> list[str]:
        """What the user should know, line by line."""
        lines = []
        if self.unlabeled and any(self.labels[label] for label in ("energy", "forces")):
            lines.append(
                f"Note: {len(self.unlabeled):,} structures have neither energy nor forces ({self.unlabeled[0]}); "
                "training and evaluation refuse them."
            )
        twice = disagreement(atom for atom in self.singles if atom.is_isolated(CUTOFF))
        if twice:
            lines.append(f"Note: {twice}; training refuses them.")
        crystals = crystals_note(self.singles, CUTOFF)
        return [*lines, *([crystals] if crystals else []), *self.units.warnings()]


def check_overlap(structure: Structure) -> None:
    """Refuse atoms that are closer than any bond."""
    try:
        check_distances(*neighbor_list(structure.positions, structure.cell, structure.pbc, TOO_CLOSE))
    except TDNError as problem:
        raise TDNError(f"{structure.name}: {problem}") from None


def describe(source: Source) -> dict[str, Any]:
    """Describe a source: counts, elements, labels, what was left out; reads every structure."""
    findings = Findings()
    for structure in tracked(source, len(source), f"reading {', '.join(source.file_names)}"):
        findings.add(structure)
    groups, unread, sizes = source.get_groups(), source.unread_labels(), findings.sizes
    note = unread.note()
    return {
        "files": source.file_names,
        "structures": len(source),
        "trajectories": None if groups is None else len(np.unique(groups)),
        "atoms": {"fewest": min(sizes), "mean": float(np.mean(sizes)), "most": max(sizes)},
        "periodic": findings.n_periodic,
        "elements": [SYMBOLS[number - 1] for number in sorted(findings.numbers)],
        "labels": findings.labels,
        "fixed_names": sorted(unread.fixed),
        "left_out": source.left_out,
        "notes": [*([note] if note else []), *findings.notes()],
    }


def as_text(found: dict[str, Any]) -> str:
    """A description as text."""
    atoms, left_out = found["atoms"], found["left_out"]
    trajectories = "" if found["trajectories"] is None else f" of {found['trajectories']:,} trajectories"
    lines = [
        f"files       {', '.join(found['files'])}",
        f"structures  {found['structures']:,}{trajectories}, {found['periodic']:,} periodic",
        f"atoms       {atoms['fewest']} to {atoms['most']}, {atoms['mean']:.1f} on average",
        f"elements    {' '.join(found['elements'])}",
        f"labels      {', '.join(f'{name} {count:,}' for name, count in found['labels'].items() if count) or 'none'}",
        *([f"names       fixed in {'; '.join(found['fixed_names'])}"] if found["fixed_names"] else []),
        f"left out    {'' if left_out else 'nothing'}",
    ]
    return "\n".join([*lines, *(f"  {count:,} x {reason}" for reason, count in left_out.items()), *found["notes"]])
