"""Checklist "NVE ... the same drift when the same model is driven by ASE": two programs, one trajectory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structures
from ase import units
from ase.md.verlet import VelocityVerlet
from lammps_runner import setup, write_data
from models import random_model
from solid import completed, table

from tdn.ase import TDNCalculator
from tdn.deployment import write_archive

STEPS = 100


@pytest.mark.parametrize("n_ranks", [2])
def test_same_trajectory_as_ase(n_ranks: int, tmp_path: Path):
    """Kinetic and total energy of 64 atoms in a sheared cell, step by step, from the same velocities."""
    atoms = structures.silicon_triclinic()
    atoms.set_masses([10.0] * len(atoms))  # those of write_data
    model = random_model(("Si",), n_channels=8, n_layers=2, cutoff=4.0)
    model.set_references([-5.0], 5.0)
    write_archive(model, tmp_path / "silicon.tdn.pt")
    width = np.sqrt(10.0 * units.kB * 600)
    atoms.set_momenta(width * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    rotation = write_data(atoms, ["Si"], tmp_path / "data.test")
    # LAMMPS's unit of velocity is angstrom / ps
    velocities = atoms.get_velocities() @ rotation.T * (1000 * units.fs)
    lines = [f"{k} {' '.join(f'{x:.17g}' for x in v)}" for k, v in enumerate(velocities, start=1)]
    with (tmp_path / "data.test").open("a") as file:
        file.write("\nVelocities\n\n" + "\n".join(lines) + "\n")
    text = (
        setup(atoms) + "pair_style tdn device cpu\npair_coeff * * silicon.tdn.pt Si\ntimestep 0.0005\nfix 1 all nve\n"
    )
    text += "thermo 10\nthermo_style custom step ke etotal\nthermo_modify norm no format float %.12g\n"
    rows = table(completed(f"{text}run {STEPS}\n", n_ranks, tmp_path))

    atoms.calc = TDNCalculator(tmp_path / "silicon.tdn.pt")
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    by_ase = []
    for _ in dynamics.irun(STEPS):
        by_ase.append([atoms.get_kinetic_energy(), atoms.get_total_energy()])
    by_ase = np.array(by_ase)[::10]
    assert np.ptp(rows[:, 1]) > 0.1
    # the programs' constants of time agree to seven digits
    np.testing.assert_allclose(rows[:, 1], by_ase[:, 0], rtol=1e-5)
    np.testing.assert_allclose(rows[:, 2] - rows[0, 2], by_ase[:, 1] - by_ase[0, 1], rtol=0, atol=64e-6)
