"""Several models at once: forces of the first or of the mean, and the deviation of the forces of each atom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structures
import torch
from lammps_runner import run, setup, single_point, write_data
from make_archives import PairModel, label, write
from models import random_model
from torch import Tensor

from tdn.deployment import write_archive

ELEMENTS = ["O", "H"]
#: Different widths and precisions: models of an ensemble share edges and messages, not shapes.
SETTINGS = ({"n_channels": 8}, {"n_channels": 8, "n_layers": 3}, {"n_channels": 16})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Archives m0, m1, m2 of random models and data.test of 81 atoms."""
    folder = tmp_path_factory.mktemp("ensemble")
    for seed, settings in enumerate(SETTINGS):
        model = random_model(("H", "O"), seed=seed, cutoff=3.5, **settings)
        write_archive(model, folder / f"m{seed}.tdn.pt", torch.float64)
    return folder


@pytest.fixture(scope="module")
def alone(folder) -> list:
    """Each model by itself on one rank."""
    atoms = structures.water(3)
    return [single_point(atoms, folder / f"m{k}.tdn.pt", ELEMENTS, folder, style="tdn device cpu") for k in range(3)]


def pair(folder: Path, keywords: str = "") -> str:
    files = " ".join(str(folder / f"m{k}.tdn.pt") for k in range(3))
    return f"pair_style tdn device cpu {keywords}\npair_coeff * * {files} O H\n"


def expected_deviation(alone) -> np.ndarray:
    """sqrt(<|F_i - <F_i>|^2>) over the models."""
    forces = np.array([point.forces for point in alone])
    return np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(-1).mean(0))


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("keyword", ["first", "mean"])
def test_forces_of_the_first_or_the_mean(folder, alone, keyword: str, n_ranks: int, tmp_path: Path):
    found = single_point(
        structures.water(3), folder, ELEMENTS, tmp_path, n_ranks, pair=pair(folder, f"ensemble {keyword}")
    )
    for name in ("energy", "forces", "atom_energies", "virial", "atom_virials"):
        values = [getattr(point, name) for point in alone]
        want = values[0] if keyword == "first" else np.mean(values, axis=0)
        np.testing.assert_allclose(getattr(found, name), want, rtol=1e-9, atol=1e-9)


def deviations(folder: Path, tmp_path: Path, n_ranks: int, commands: str, keywords: str = "") -> np.ndarray:
    """f_dev of every atom at the last dumped step, by ID."""
    atoms = structures.water(3)
    write_data(atoms, ELEMENTS, tmp_path / "data.test")
    text = setup(atoms, commands="atom_modify map array") + pair(folder, keywords) + commands
    done = run(text, n_ranks, tmp_path)
    assert done.returncode == 0, done.output
    return np.loadtxt(tmp_path / "dump.dev", skiprows=9)[:, 1]


DUMP = "dump d all custom 1 dump.dev id f_dev\ndump_modify d sort id format float %.17g\n"


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("flag", [0, 1])
def test_deviation_of_the_forces_of_each_atom(folder, alone, flag: int, n_ranks: int, tmp_path: Path):
    found = deviations(folder, tmp_path, n_ranks, f"fix dev all pair 1 tdn deviation {flag}\n{DUMP}run 0\n")
    np.testing.assert_allclose(found, expected_deviation(alone), rtol=0, atol=1e-9)


def test_deviation_with_the_mean_is_the_same(folder, alone, tmp_path: Path):
    commands = f"fix dev all pair 1 tdn deviation 1\n{DUMP}run 0\n"
    found = deviations(folder, tmp_path, 2, commands, "ensemble mean")
    np.testing.assert_allclose(found, expected_deviation(alone), rtol=0, atol=1e-9)


def test_deviation_in_units_of_the_simulation(folder, alone, tmp_path: Path):
    atoms = structures.water(3)
    write_data(atoms, ELEMENTS, tmp_path / "data.test")
    text = setup(atoms, units="real") + pair(folder) + f"fix dev all pair 1 tdn deviation 1\n{DUMP}run 0\n"
    done = run(text, 1, tmp_path)
    assert done.returncode == 0, done.output
    found = np.loadtxt(tmp_path / "dump.dev", skiprows=9)[:, 1]
    np.testing.assert_allclose(found, 23.060549 * expected_deviation(alone), rtol=1e-8)


HALT = """
timestep 0.0005
fix 1 all nve
fix dev all pair 5 tdn deviation 1
compute worst all reduce max f_dev
variable worst equal c_worst
fix stop all halt 5 v_worst > {limit} error {kind}
thermo 5
thermo_style custom step c_worst
run 10
print "reached step $(step)"
"""


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_run_stops_where_the_models_disagree(folder, alone, n_ranks: int, tmp_path: Path):
    """fix halt on the largest deviation: goes on below its limit, stops with an error above it."""
    worst = expected_deviation(alone).max()
    atoms = structures.water(3)
    write_data(atoms, ELEMENTS, tmp_path / "data.test")
    text = setup(atoms) + pair(folder)
    calm = run(text + HALT.format(limit=100 * worst, kind="hard"), n_ranks, tmp_path)
    assert calm.returncode == 0 and "reached step 10" in calm.output, calm.output
    shown = [float(line.split()[1]) for line in calm.thermo]
    assert shown[0] == pytest.approx(worst, rel=1e-6) and shown[1] != shown[0]
    soft = run(text + HALT.format(limit=0.01 * worst, kind="soft"), n_ranks, tmp_path)
    assert soft.returncode == 0 and "reached step 5" in soft.output, soft.output
    hard = run(text + HALT.format(limit=0.01 * worst, kind="hard"), n_ranks, tmp_path)
    assert hard.returncode != 0 and "reached step" not in hard.output


class FailingModel(PairModel):
    """Cannot be evaluated."""

    @torch.jit.export
    def embed(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """Sizes that do not fit."""
        return torch.zeros([2]) + torch.zeros([3])


@pytest.mark.parametrize("keyword, every, works", [("first", 4, True), ("first", 3, False), ("mean", 4, False)])
def test_members_are_evaluated_when_they_are_needed(keyword: str, every: int, works: bool, tmp_path: Path):
    """A member that cannot be evaluated stops the run in the steps in which the deviation is read, or the mean."""
    write(PairModel(), label("pair", [1], "float32", {}), tmp_path / "good.tdn.pt")
    write(FailingModel(), label("pair", [1], "float32", {}), tmp_path / "bad.tdn.pt")
    write_data(structures.water(2), ELEMENTS, tmp_path / "data.test")
    text = setup(structures.water(2)) + f"pair_style tdn device cpu ensemble {keyword}\n"
    text += "pair_coeff * * good.tdn.pt bad.tdn.pt O H\nfix 1 all nve\ntimestep 1e-6\nreset_timestep 1\n"
    done = run(text + f"fix dev all pair {every} tdn deviation 1\nrun 2\n", 2, tmp_path)
    assert (done.returncode == 0) == works, done.output
    assert done.output.count("Pair style tdn: The size of tensor a (2) must match") == (0 if works else 1)


def test_models_of_other_elements_are_refused(folder, tmp_path: Path):
    write_archive(random_model(("H", "C"), cutoff=3.5, n_channels=8), tmp_path / "other.tdn.pt", torch.float64)
    write_data(structures.water(3), ELEMENTS, tmp_path / "data.test")
    (tmp_path / "m0.tdn.pt").write_bytes((folder / "m0.tdn.pt").read_bytes())
    text = setup(structures.water(3)) + "pair_style tdn\npair_coeff * * m0.tdn.pt other.tdn.pt O H\nrun 0\n"
    done = run(text, 2, tmp_path)
    sentence = (
        "model file 'other.tdn.pt' (elements H C, cutoff 3.5 angstrom) cannot be in an ensemble with 'm0.tdn.pt' "
        "(elements H O, cutoff 3.5 angstrom): train both for the same elements, in one order, with the same cutoff"
    )
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


def test_deviation_of_one_model_is_refused(folder, tmp_path: Path):
    write_data(structures.water(3), ELEMENTS, tmp_path / "data.test")
    text = setup(structures.water(3)) + f"pair_style tdn\npair_coeff * * {folder / 'm0.tdn.pt'} O H\n"
    done = run(text + "fix dev all pair 1 tdn deviation 1\nrun 0\n", 2, tmp_path)
    sentence = (
        "the deviation of forces needs several models but pair_coeff names 1: write pair_coeff * * first.tdn.pt "
        "second.tdn.pt element ..."
    )
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output
