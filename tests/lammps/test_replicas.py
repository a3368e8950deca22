"""Checklist "-partition (use `world`), NEB/temper (several instances)": worlds that share nothing but the program."""

from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import setup, write_data
from scipy.optimize import minimize_scalar
from solid import ELEMENTS, PERIODIC, STATE, completed, pair, solid, start
from test_changing_atoms import read_dump
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401


def test_partitions_of_two_ranks(archives, tmp_path: Path):
    """Two worlds of 2 ranks with other atoms and another model in each: energies and forces of the formulas."""
    systems = {
        "a": ("message", random_atoms(30, [7.0, 7.5, 8.0], seed=4)),
        "b": ("pair", random_atoms(40, [8.0, 7.0, 9.0])),
    }
    for name, (_, atoms) in systems.items():
        write_data(atoms, ELEMENTS, tmp_path / f"data.{name}")
    models = " ".join(str(archives[model, "float64"]) for model, _ in systems.values())
    text = f"variable p world a b\nvariable m world {models}\n" + setup(PERIODIC, data="data.$p")
    text += f"pair_style tdn device cpu\npair_coeff * * $m H O\n{STATE}run 0\n"
    text += 'print "$(pe:%.17g) $(fnorm:%.17g)" file result.$p\n'
    completed(text, 4, tmp_path, options=("-partition", "2x2"))
    for name, (model, atoms) in systems.items():
        energy, norm = map(float, (tmp_path / f"result.{name}").read_text().split())
        want = expected(model, atoms)
        assert energy == pytest.approx(want["atom_energies"].sum(), abs=1e-9)
        assert norm == pytest.approx(np.linalg.norm(want["forces"]), abs=1e-8)


BOND = 1.2


def umbrella(height: float) -> ase.Atoms:
    """An H atom above (or below) a triangle of O atoms; all distances are 1.2 angstrom at the two minima."""
    angles = 2 * np.pi * np.arange(3) / 3
    triangle = BOND / np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    return ase.Atoms("O3H", positions=np.concatenate([triangle, [[0, 0, height]]]) + 6, cell=[12, 12, 12], pbc=True)


def planar_energy(side: float) -> float:
    """H in the middle of the triangle: three edges O-O (k = 3) and three O-H (k = 2), both directions."""

    def edge(k: float, r: float) -> float:
        return k * (r - BOND) ** 2 * (1 - (r / 3) ** 2) ** 3

    return 3 * edge(3.0, side) + 3 * edge(2.0, side / np.sqrt(3))


def test_neb(archives, tmp_path: Path):
    """NEB of an atom through a triangle, 3 replicas: ends of energy zero, barrier of the relaxed planar shape."""
    top = BOND * np.sqrt(2 / 3)
    last = umbrella(-top)
    (tmp_path / "final").write_text("1\n4 " + " ".join(f"{x:.17g}" for x in last.positions[3]) + "\n")
    text = "variable p world 1 2 3\natom_modify map array sort 0 0.0\n" + start(umbrella(top), tmp_path)
    text += pair(archives["pair", "float64"]) + "fix 1 all neb 1.0\nmin_style fire\ntimestep 0.001\nthermo 100\n"
    text += "neb 0 1e-6 1000 1000 100 final final\n"
    text += 'print "$(pe:%.17g)" file energy.$p\n'
    text += "write_dump all custom dump.$p id type x y z modify sort id format float %.17g\n"
    completed(text, 3, tmp_path, options=("-partition", "3x1"))
    energies = [float((tmp_path / f"energy.{p}").read_text()) for p in (1, 2, 3)]
    saddle = minimize_scalar(planar_energy, bounds=(1.2, 2.2), method="bounded", options={"xatol": 1e-10})
    assert energies[0] == pytest.approx(0, abs=1e-9) and energies[2] == pytest.approx(0, abs=1e-9)
    assert energies[1] == pytest.approx(saddle.fun, abs=1e-6)
    for p, energy in zip((1, 2, 3), energies, strict=True):
        image = read_dump(tmp_path / f"dump.{p}", umbrella(top).cell.array)
        assert energy == pytest.approx(expected("pair", image)["atom_energies"].sum(), abs=1e-9)


def test_temper(archives, tmp_path: Path):
    """Parallel tempering of two replicas of the two-layer model: temperatures swap, energies are those of the atoms."""
    text = "variable p world a b\nvariable t world 600 660\n" + start(solid((4, 4, 2), mixed=True), tmp_path)
    text += pair(archives["message", "float64"]) + "velocity all create $t 3 mom yes\ntimestep 0.0005\n"
    text += "fix 1 all nvt temp $t $t 0.05\nthermo 50\ntemper 200 10 $t 1 17 23\n"
    text += 'print "$(pe:%.17g)" file energy.$p\n'
    text += "write_dump all custom dump.$p id type x y z modify sort id format float %.17g\n"
    done = completed(text, 2, tmp_path, options=("-partition", "2x1"))
    rows = [line.split() for line in done.output.splitlines()]
    swaps = [row[1:] for row in rows if len(row) == 3 and row[0].isdigit()]
    assert ["0", "1"] in swaps and ["1", "0"] in swaps, done.output
    for p in "ab":
        last = read_dump(tmp_path / f"dump.{p}", solid((4, 4, 2)).cell.array)
        energy = float((tmp_path / f"energy.{p}").read_text())
        assert energy == pytest.approx(expected("message", last)["atom_energies"].sum(), abs=1e-9)
