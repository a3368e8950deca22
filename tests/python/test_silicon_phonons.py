"""The example examples/silicon/phonons.py: its numbers against forces and stresses of the calculator alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from tdn.ase import TDNCalculator

pytest.importorskip("phonopy", reason="the example needs phonopy")
pytest.importorskip("spglib", reason="the example needs spglib")

SILICON = Path(__file__).parents[2] / "examples" / "silicon"
#: The relaxed lattice constant of the shipped model, angstrom.
LATTICE = 5.470


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("phonons")


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, float]:
    """What the example prints for 64 atoms: name and number of the model."""
    command = [sys.executable, "-W", "error", str(SILICON / "phonons.py"), "--supercell", "2", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\S.*?) {2,}(-?[\d.]+) +[\d.]+ ", done.stdout, re.MULTILINE)
    return {name: float(value) for name, value in rows}


@pytest.fixture(scope="module")
def calculator() -> TDNCalculator:
    return TDNCalculator(SILICON / "silicon.ckpt", dtype="float64")


def test_lattice_constant(printed):
    assert printed["lattice constant, relaxed (angstrom)"] == pytest.approx(LATTICE, abs=5e-4)
    assert printed["lattice constant, fit (angstrom)"] == pytest.approx(LATTICE, abs=5e-4)


def test_bulk_modulus_is_the_slope_of_the_pressure(printed, calculator):
    """B = -V dp/dV = -(a/3) dp/da, of stresses."""

    def pressure(a: float) -> float:
        return -calculator.get_stress(bulk("Si", "diamond", a=a))[:3].mean() / units.GPa

    step = 0.002
    modulus = -LATTICE / 3 * (pressure(LATTICE + step) - pressure(LATTICE - step)) / (2 * step)
    assert printed["bulk modulus (GPa)"] == pytest.approx(modulus, rel=0.01)


def test_optical_frequency_is_that_of_the_frozen_phonon(printed, calculator):
    """One atom of two moves against the other: omega^2 = 2 k / m with k = -dF/dx of the moved atom."""
    step, forces = 0.005, []
    for sign in (1, -1):
        atoms = bulk("Si", "diamond", a=LATTICE)
        atoms.positions[1, 0] += sign * step
        forces.append(calculator.get_forces(atoms)[1, 0])
    stiffness = -(forces[0] - forces[1]) / (2 * step)
    omega = np.sqrt(2 * stiffness / atoms.get_masses()[0])  # 1 / ASE's unit of time
    assert printed["optical, zone center (THz)"] == pytest.approx(omega * units.second / 1e12 / (2 * np.pi), rel=0.003)


def test_crystal_is_stable(printed):
    assert printed["lowest frequency (THz)"] > -0.01
    assert 3 < printed["transverse acoustic, X (THz)"] < 7


def test_figures_are_drawn(printed, folder):
    assert all((folder / name).stat().st_size > 10_000 for name in ("eos.png", "phonons.png"))


def test_numbers_of_the_readme(printed):
    """The table of the README says the same."""
    text = (SILICON / "README.md").read_text(encoding="utf-8")
    for name, row in (
        ("lattice constant, relaxed (angstrom)", "lattice constant, angstrom"),
        ("bulk modulus (GPa)", "bulk modulus, GPa"),
        ("optical, zone center (THz)", "optical phonon at the zone center, THz"),
        ("transverse acoustic, X (THz)", "transverse acoustic phonon at X, THz"),
    ):
        shown = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) \|", text, re.MULTILINE)
        assert shown, row
        decimals = len(shown[1].partition(".")[2])
        assert abs(float(shown[1]) - printed[name]) < 0.6 * 10**-decimals, row
