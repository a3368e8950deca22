"""The parity matrix: LAMMPS against the Python model with explicit periodic images, every case by its name.

One run for each number of ranks evaluates all structures, styles and precisions; each test compares its part.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from lammps_runner import run_python
from models import graph_of, random_model
from parity_worker import CASES, DTYPES, ELEMENTS, STYLES
from tolerances import LAMMPS

from tdn.deployment import write_archive
from tdn.lammps.result import COLUMNS, ROWS

RANKS = (1, 2, 3, 4, 8)
MATRIX = [
    pytest.param(*case, id=f"{case[0]} ranks-{'-'.join(case[1:])}") for case in product(RANKS, STYLES, CASES, DTYPES)
]
WORKER = Path(__file__).parent / "parity_worker.py"
#: LAMMPS's own limit of comm_style tiled, which no pair style can lift.
TILED_REFUSES = "Communication cutoff for comm_style tiled cannot exceed periodic box length"

Values = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def model(folder):
    """Model in float64; its archives in both precisions lie in ``folder``."""
    model = random_model(ELEMENTS, n_layers=3, n_channels=8, l_max=1, radial_hidden=(8, 8), norm="smooth")
    model.set_references([-10.0, -20.0, -30.0, -40.0], 40.0)  # forces of some eV/angstrom
    for dtype in DTYPES:
        write_archive(model, folder / f"{dtype}.tdn.pt", getattr(torch, dtype))
    return model


@pytest.fixture(scope="module")
def evaluated(model, folder):
    """Arrays of a number of ranks, style, structure and precision; each number of ranks is run once."""
    runs: dict[int, Values] = {}

    def values(n_ranks: int, style: str, name: str, dtype: str) -> Values:
        if n_ranks not in runs:
            done = run_python(WORKER, n_ranks, folder, str(folder), timeout=240)
            assert done.returncode == 0, done.output
            runs[n_ranks] = dict(np.load(folder / f"{n_ranks}.npz"))
        prefix = f"{name}/{dtype}/{style}/"
        return {key.removeprefix(prefix): v for key, v in runs[n_ranks].items() if key.startswith(prefix)}

    return values


@pytest.fixture(scope="module")
def references(model):
    """The Python model's numbers for each structure, made once."""
    made: dict[str, Values] = {}

    def reference(name: str) -> Values:
        if name not in made:
            found = model(graph_of(model, CASES[name].make()))
            made[name] = {
                "atom_energies": found.atom_energies.numpy(),
                "forces": found.forces.numpy(),
                "virial": found.virial[0].numpy()[ROWS, COLUMNS],
            }
        return made[name]

    return reference


def assert_physics(got: Values, want: Values, limits: dict[str, float]) -> None:
    """Energy, per-atom energies, forces and all four forms of the virial."""
    n_atoms = len(want["forces"])
    assert got["forces"].shape == (n_atoms, 3)
    assert abs(got["energy"] - want["atom_energies"].sum()) <= limits["energy"] * n_atoms
    assert abs(got["atom_energies"] - want["atom_energies"]).max() <= limits["energy"]
    assert abs(got["forces"] - want["forces"]).max() <= limits["forces"]
    nearby = limits["virial"] * abs(want["virial"]).max() + 1e-12
    assert abs(got["virial"] - want["virial"][:6]).max() <= nearby
    assert abs(got["atom_virials"].sum(0) - want["virial"][:6]).max() <= nearby
    assert abs(got["centroid_virials"].sum(0) - want["virial"]).max() <= nearby


def assert_same_atoms(got: Values, alone: Values, limits: dict[str, float]) -> None:
    """Nothing of a single atom depends on the decomposition, however the virial is divided among atoms."""
    assert abs(got["atom_energies"] - alone["atom_energies"]).max() <= limits["energy"]
    assert abs(got["forces"] - alone["forces"]).max() <= limits["forces"]
    for name in ("atom_virials", "centroid_virials"):
        nearby = limits["virial"] * abs(alone[name]).max() + 1e-12
        assert abs(got[name] - alone[name]).max() <= nearby, name


@pytest.mark.parametrize(("n_ranks", "style", "name", "dtype"), MATRIX)
def test_parity(n_ranks, style, name, dtype, evaluated, references):
    got = evaluated(n_ranks, style, name, dtype)
    if (style, name) == ("tiled", "tiny cell"):
        assert got["error"] == TILED_REFUSES  # on every number of ranks, and without a hang
        return
    assert_physics(got, references(name), LAMMPS["tables" if dtype == "float64" else dtype])
    assert_same_atoms(got, evaluated(1, "brick", name, dtype), LAMMPS[dtype])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n_ranks", RANKS[1:])
def test_thin_subdomains_are_thinner_than_the_cutoff(n_ranks, style, evaluated, model):
    edges = evaluated(n_ranks, style, "thin subdomains", "float64")["edges"]
    assert edges.shape == (n_ranks, 3)
    assert (edges.min(1) < model.cutoff).all()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n_ranks", RANKS[1:])
def test_empty_ranks_are_there(n_ranks, style, evaluated):
    atoms = evaluated(n_ranks, style, "empty ranks", "float64")["atoms"]
    assert atoms.min() == 0 and atoms.sum() == len(CASES["empty ranks"].make())


def test_structures_are_what_their_names_say(model):
    box = {name: case.make() for name, case in CASES.items()}
    heights = 1 / np.linalg.norm(np.linalg.inv(box["tiny cell"].cell.array), axis=0)
    assert heights.max() < model.cutoff
    assert abs(np.triu(box["triclinic"].cell.array, 1)).max() > 1  # not lower triangular: it is turned
    assert not box["slab"].pbc[2] and not box["slab"].cell.array[2].any()
    assert box["isolated atoms"].get_all_distances(mic=True)[np.triu_indices(3, 1)].min() > model.cutoff


def test_forces_and_virials_are_not_small(references):
    """Agreement of zeros would mean nothing."""
    for name in set(CASES) - {"isolated atoms"}:
        assert abs(references(name)["forces"]).max() > 0.1, name
        assert abs(references(name)["virial"]).max() > 1, name
    assert references("isolated atoms")["atom_energies"] == pytest.approx([-30, -20, -30], abs=1e-12)


def test_single_precision_is_used(evaluated, references):
    error = evaluated(1, "brick", "orthogonal", "float32")["forces"] - references("orthogonal")["forces"]
    assert abs(error).max() > 1e-8
