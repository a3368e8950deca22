"""The box of water that all benchmarks of this folder run on, and copies of it."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read

ROOT = Path(__file__).parents[2]
#: Reference data where it lies beside the checkout, the example's box otherwise: 192 atoms each.
BOXES = (ROOT.parent / "shared/data/bench/water192.xyz", ROOT / "examples/water/data.water")
ATOMS = 192


def water_box(copies: tuple[int, int, int] = (1, 1, 1)) -> Atoms:
    """Copies of the box of 192 atoms along its three sides."""
    if BOXES[0].is_file():
        return read(BOXES[0]).repeat(copies)
    return read(BOXES[1], format="lammps-data", atom_style="atomic").repeat(copies)
