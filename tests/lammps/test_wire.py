"""Keyword ``wire``: rows rounded on their way between ranks, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from lammps_runner import SinglePoint, single_point

from tdn.plan import parse_plan

WATER = Path(__file__).parents[2] / "examples" / "water"


def water(folder: Path, n_ranks: int, wire: str) -> SinglePoint:
    atoms = read(WATER / "data.water", format="lammps-data", atom_style="atomic", sort_by_id=True)
    style = f"tdn device cpu wire {wire}"
    return single_point(atoms, WATER / "water.tdn.pt", ["O", "H"], folder, n_ranks, style)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> SinglePoint:
    return water(tmp_path_factory.mktemp("reference"), 1, "model")


def test_one_rank_rounds_nothing(reference, tmp_path: Path):
    np.testing.assert_array_equal(water(tmp_path, 1, "bfloat16").forces, reference.forces)


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_rounded_rows_take_half_the_bytes_and_move_forces_a_little(reference, n_ranks: int, tmp_path: Path):
    """Eight bits of mantissa: an error well above that of float32 and a few per mille of the forces."""
    exact, rounded = (water(tmp_path, n_ranks, wire) for wire in ("model", "bfloat16"))
    size = np.sqrt((reference.forces**2).mean())
    errors = [np.sqrt(((found.forces - reference.forces) ** 2).mean()) / size for found in (exact, rounded)]
    assert errors[0] < 1e-5 < errors[1] < 1e-2, errors
    bytes_sent = [parse_plan(found.run.output)["MB per step"] for found in (exact, rounded)]
    assert bytes_sent[1][0] == pytest.approx(bytes_sent[0][0] / 2, rel=1e-3)


def test_rounded_forces_still_add_up_to_zero(tmp_path: Path):
    """Forces come from edges, so rounding cannot make a net force."""
    found = water(tmp_path, 4, "bfloat16")
    assert np.abs(found.forces.sum(axis=0)).max() < 1e-3
