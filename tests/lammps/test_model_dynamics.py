"""Dynamics with TDN models: the same trajectory on 1, 2 and 4 ranks, and a conserved energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structures
import torch
from ase.data import atomic_masses, atomic_numbers
from lammps_runner import Run, run, setup, write_data
from models import random_model

import tdn
from tdn.deployment import write_archive

WATER = Path(__file__).parents[2] / "examples" / "water"
STEPS = 1000

THERMO = """
thermo_style custom step temp pe ke etotal press
thermo_modify format float %.{digits}g
thermo {every}
run {steps}
"""


def masses(elements: list[str]) -> str:
    """Mass command of each type."""
    return "".join(f"mass {k} {atomic_masses[atomic_numbers[e]]}\n" for k, e in enumerate(elements, start=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """81 water atoms, relaxed and warmed with the shipped model; its float64 archive."""
    folder = tmp_path_factory.mktemp("water")
    atoms = structures.water(3)
    write_data(atoms, ["O", "H"], folder / "data.test")
    model = tdn.load(WATER / "water.ckpt")
    write_archive(model, folder / "water.tdn.pt", dtype=torch.float64)
    text = setup(atoms) + masses(["O", "H"])
    text += f"pair_style tdn device cpu\npair_coeff * * {WATER / 'water.tdn.pt'} O H\n"
    text += "min_style fire\nminimize 0 0.1 150 300\nvelocity all create 330 1 mom yes rot yes\ntimestep 0.0005\n"
    text += "fix 1 all nve\nfix 2 all langevin 330 330 0.02 7\nrun 150\nwrite_data data.start\n"
    done = run(text, 1, folder, timeout=300)
    assert done.returncode == 0, done.output
    return folder


@pytest.fixture(scope="module")
def trajectories(folder) -> dict[int, Run]:
    """The same 1000 NVE steps on 1, 2 and 4 ranks."""
    text = "units metal\natom_style atomic\nread_data data.start\nneighbor 0.3 bin\nneigh_modify every 1 delay 0\n"
    text += "pair_style tdn device cpu\npair_coeff * * water.tdn.pt O H\ntimestep 0.0005\nfix 1 all nve\n"
    text += THERMO.format(every=50, steps=STEPS, digits=8)
    return {n: run(text, n, folder, timeout=900) for n in (1, 2, 4)}


def test_thermo_of_water_is_the_same_on_any_number_of_ranks(trajectories):
    """Neighbor lists are rebuilt and atoms migrate on the way; every printed digit stays."""
    for done in trajectories.values():
        assert done.returncode == 0, done.output
    expected = trajectories[1].thermo
    assert len(expected) == STEPS // 50 + 1
    assert trajectories[2].thermo == expected
    assert trajectories[4].thermo == expected
    builds = next(line for line in trajectories[4].output.splitlines() if line.startswith("Neighbor list builds"))
    assert int(builds.split("=")[1]) > 10


def test_energy_of_water_stays_within_its_fluctuation(trajectories):
    """Velocity Verlet at 0.5 fs makes the energy of an O-H bond oscillate; it must not run away."""
    rows = np.array([[float(word) for word in line.split()] for line in trajectories[2].thermo])
    per_atom = rows[:, 4] / 81
    assert np.ptp(per_atom) < 5e-4, per_atom
    assert rows[:, 1].min() > 200 and rows[:, 1].max() < 500, rows[:, 1]


def test_drift_of_a_smooth_model_is_below_a_millionth_of_an_ev_per_atom_and_picosecond(tmp_path):
    """64 silicon-like atoms, hot enough that pairs cross the cutoff all the time; random weights, 2 ranks."""
    atoms = structures.silicon_triclinic()
    write_data(atoms, ["Si"], tmp_path / "data.test")
    model = random_model(("Si",), n_channels=8, n_layers=2, cutoff=4.0)
    model.set_references([-5.0], 5.0)
    write_archive(model, tmp_path / "silicon.tdn.pt")
    text = setup(atoms) + masses(["Si"]) + "pair_style tdn device cpu\npair_coeff * * silicon.tdn.pt Si\n"
    text += "velocity all create 600 1 mom yes rot yes\ntimestep 0.0005\nfix 1 all nve\n"
    text += THERMO.format(every=10, steps=STEPS, digits=12)
    done = run(text, 2, tmp_path, timeout=300)
    assert done.returncode == 0, done.output
    rows = np.array([[float(word) for word in line.split()] for line in done.thermo])
    drift = np.polyfit(rows[:, 0] * 0.0005, rows[:, 4] / len(atoms), 1)[0]
    exchanged = np.ptp(rows[:, 3]) / len(atoms)
    assert exchanged > 1e-3, "the test sees no dynamics"
    assert abs(drift) < 1e-6
