"""The virial by strain of the box, as sum over atoms, and on 1, 2 and 4 ranks: one number, three ways to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import run_python
from models import random_model
from tolerances import FINITE_DIFFERENCES, LAMMPS
from virial_worker import ELEMENTS, STRUCTURES

from tdn.deployment import write_archive
from tdn.lammps.result import COLUMNS, ROWS

RANKS = (1, 2, 4)
WORKER = Path(__file__).parent / "virial_worker.py"

pytestmark = [
    pytest.mark.parametrize("n_ranks", RANKS, ids=lambda n: f"{n} ranks"),
    pytest.mark.parametrize("name", STRUCTURES),
]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Arrays by number of ranks and structure; each number of ranks is run once."""
    folder = tmp_path_factory.mktemp("virial")
    model = random_model(ELEMENTS, n_layers=3, n_channels=8, l_max=1, radial_hidden=(8, 8))
    model.set_references([-10.0, -20.0, -30.0], 40.0)
    write_archive(model, folder / "model.tdn.pt")
    runs: dict[int, dict[str, np.ndarray]] = {}

    def get(n_ranks: int, name: str) -> dict[str, np.ndarray]:
        if n_ranks not in runs:
            output = folder / f"{n_ranks}.npz"
            done = run_python(WORKER, n_ranks, folder, "model.tdn.pt", str(output), timeout=240)
            assert done.returncode == 0, done.output
            runs[n_ranks] = dict(np.load(output))
        return {key.split("/")[1]: value for key, value in runs[n_ranks].items() if key.startswith(name)}

    return get


def test_strain(n_ranks, name, values):
    """W = -dE/d(strain), all six components."""
    found = values(n_ranks, name)
    assert abs(found["virial"]).max() > 1
    limit = FINITE_DIFFERENCES * abs(found["virial"]).max()
    assert abs(found["strain"] - found["virial"]).max() < limit


def test_sum_over_atoms(n_ranks, name, values):
    """Six components and nine of the centroid form, whose xy and yx belong to one symmetric tensor."""
    found = values(n_ranks, name)
    tensor = np.zeros((3, 3))
    tensor[ROWS[:6], COLUMNS[:6]] = tensor[COLUMNS[:6], ROWS[:6]] = found["virial"]
    limit = LAMMPS["float64"]["virial"] * abs(tensor).max()
    assert abs(found["atom_virials"].sum(0) - found["virial"]).max() < limit
    assert abs(found["centroid_virials"].sum(0) - tensor[ROWS, COLUMNS]).max() < limit


def test_ranks(n_ranks, name, values):
    """Global and per-atom virials are those of one rank."""
    found, alone = values(n_ranks, name), values(1, name)
    for key in ("virial", "atom_virials", "centroid_virials"):
        assert abs(found[key] - alone[key]).max() <= LAMMPS["float64"]["virial"] * abs(alone[key]).max()
