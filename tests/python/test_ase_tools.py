"""The tools of ASE run on the calculator: filters, optimizers, equation of state, vibrations, writing."""

from __future__ import annotations

import numpy as np
import pytest
import structures
from ase import units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_stress
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import FIRE
from ase.phonons import Phonons
from ase.vibrations import Vibrations
from models import random_model

from tdn.ase import TDNCalculator


class Counting(TDNCalculator):
    """Counts its evaluations."""

    evaluations = 0

    def calculate(self, *args, **kwargs):
        self.evaluations += 1
        super().calculate(*args, **kwargs)


def test_one_evaluation_gives_all_properties():
    atoms = structures.small_cell()
    atoms.calc = Counting(random_model(("Si",)))
    energy = atoms.get_potential_energy()
    assert atoms.get_potential_energy(force_consistent=True) == energy
    assert sum(atoms.get_potential_energies()) == pytest.approx(energy, abs=1e-12)
    atoms.get_forces(), atoms.get_stress()
    assert atoms.calc.evaluations == 1


@pytest.mark.parametrize("change", ["positions", "cell", "numbers", "pbc"])
def test_a_change_of_the_structure_is_seen(change):
    atoms = structures.small_cell()
    atoms.calc = TDNCalculator(random_model(("Si", "Ge")))
    before = atoms.get_potential_energy()
    if change == "positions":
        atoms.positions[0, 0] += 0.1
    elif change == "cell":
        atoms.cell[0, 1] += 0.1
    elif change == "numbers":
        atoms.numbers[0] = 32
    else:
        atoms.pbc[2] = False
    assert abs(atoms.get_potential_energy() - before) > 1e-4


def test_stress_is_ases_numerical_stress():
    atoms = structures.silicon_triclinic()
    atoms.calc = TDNCalculator(random_model(("Si",)))
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    assert abs(numerical).max() > 1e-4
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-8)


@pytest.mark.parametrize("atoms", [structures.open_slab(), structures.ethanol()], ids=["slab", "molecule"])
def test_missing_stress_is_what_ase_calls_not_implemented(atoms, tmp_path):
    """Then ASE's writers leave it out, and a cell filter stops with the sentence."""
    atoms.calc = TDNCalculator(random_model(tuple(sorted(set(atoms.symbols)))))
    with pytest.raises(PropertyNotImplementedError, match="use a structure periodic in three directions"):
        atoms.get_stress()
    with pytest.raises(PropertyNotImplementedError, match="there is no stress for pbc"):
        FIRE(FrechetCellFilter(atoms), logfile=None).run(steps=1)
    atoms.get_forces()
    write(tmp_path / "a.traj", atoms)
    again = read(tmp_path / "a.traj")
    np.testing.assert_array_equal(again.get_forces(), atoms.get_forces())
    assert "stress" not in again.calc.results


def test_equation_of_state_has_the_pressure_of_the_stress():
    """-dE/dV of ASE's fit through energies is minus a third of the trace of the stress."""
    crystal = bulk("Si", "diamond", a=5.4)
    calculator = TDNCalculator(random_model(("Si",)))
    volumes, energies = [], []
    for scale in np.linspace(0.985, 1.015, 9):
        strained = crystal.copy()
        strained.set_cell(scale * crystal.cell, scale_atoms=True)
        strained.calc = calculator
        volumes.append(strained.get_volume())
        energies.append(strained.get_potential_energy())
    slope = np.polyder(np.polyfit(np.array(volumes) - volumes[4], energies, 5))[-1]
    crystal.calc = calculator
    assert slope == pytest.approx(crystal.get_stress()[:3].mean(), abs=1e-6)
    assert np.isfinite(EquationOfState(volumes, energies, "sj").fit()).all()


def test_vibrations_are_those_of_the_models_hessian(tmp_path, monkeypatch):
    """ASE's finite differences of the forces give a symmetric matrix with six vanishing frequencies in a molecule."""
    monkeypatch.chdir(tmp_path)
    atoms = structures.rattled(structures.methane(), 0.02)
    atoms.calc = TDNCalculator(random_model(("C", "H")))
    FIRE(atoms, logfile=None).run(fmax=1e-4, steps=400)
    vibrations = Vibrations(atoms, delta=1e-3)
    vibrations.run()
    frequencies = vibrations.get_frequencies()
    assert sum(abs(frequencies) < 20) == 6
    energies = np.sort_complex(vibrations.get_energies() / units.invcm)
    assert energies == pytest.approx(np.sort_complex(frequencies))


def test_phonons_of_ase_run(tmp_path):
    phonons = Phonons(
        bulk("Si", "diamond", a=5.4),
        TDNCalculator(random_model(("Si",))),
        supercell=(2, 2, 2),
        name=str(tmp_path / "phonons"),
    )
    phonons.run()
    phonons.read(acoustic=True)
    at_gamma = phonons.band_structure([[0, 0, 0]])[0]
    assert abs(np.sort(abs(at_gamma))[:3]).max() < 1e-5
