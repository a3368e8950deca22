"""Checklist "minimize (cg, fire), box/relax": minima against formulas, on 1 and 2 ranks."""

import re
from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import PRESSURE_FACTOR
from scipy.optimize import brentq
from solid import STATE, assert_same_state, completed, fresh, pair, show, solid, start, stiff_pair
from test_closed_form import expected, float64_formulas  # noqa: F401

STRENGTH = 0.5


def lattice_energy(spacing: float, n_atoms: int) -> float:
    """Energy of the perfect lattice: the formula, and 12 like neighbors at sqrt(2) spacings, each counted half."""
    model = expected("message", solid((2, 2, 2), spacing, amplitude=0))["atom_energies"].sum() / 8
    return n_atoms * (model + 6 * STRENGTH * (1 + np.cos(np.pi * np.sqrt(2) * spacing / 3.4)))


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("style", ["cg", "fire"])
def test_crystal_returns_to_its_lattice(archives, style: str, n_ranks: int, tmp_path: Path):
    """minimize (cg, fire): a shaken crystal ends at the energy of the perfect one, on any number of ranks."""
    pairs = stiff_pair(archives["message", "float64"], STRENGTH)
    text = start(solid(amplitude=0.2), tmp_path) + pairs + STATE + f"min_style {style}\nrun 0\n{show('before')}"
    done = completed(text + f"minimize 0 1e-7 500 2000\n{show('now')}{fresh(pairs)}", n_ranks, tmp_path)
    energy, norm = done.values("now")[:2]
    assert norm < 1e-7
    assert energy < done.values("before")[0] - 1
    assert energy == pytest.approx(lattice_energy(2.1, 64), abs=1e-9)
    assert_same_state(done, "now", "fresh")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_molecules_reach_their_bond_length(archives, n_ranks: int, tmp_path: Path):
    """minimize (cg): the pair model alone; every bond of a tetrahedron becomes 1.2 angstrom, energy zero."""
    shape = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) * 0.9
    rng = np.random.default_rng(0)
    places = [(x, y, z) for x in (2, 8) for y in (2, 8) for z in (2, 8)]
    positions = np.concatenate([shape + place + 0.2 * rng.uniform(-1, 1, shape.shape) for place in places])
    atoms = ase.Atoms("HOHO" * 8, positions=positions, cell=[12, 12, 12], pbc=True)
    text = start(atoms, tmp_path) + pair(archives["pair", "float64"]) + STATE
    text += "minimize 0 1e-9 1000 5000\nwrite_dump all custom dump.end id x y z modify sort id format float %.17g\n"
    done = completed(text + show("now"), n_ranks, tmp_path)
    assert abs(done.values("now")[0]) < 1e-12
    rows = (tmp_path / "dump.end").read_text().splitlines()[9:]
    atoms.positions = np.array([row.split()[1:] for row in rows], dtype=float)
    for molecule in range(8):
        bonds = atoms[4 * molecule : 4 * molecule + 4].get_all_distances(mic=True)[np.triu_indices(4, 1)]
        np.testing.assert_allclose(bonds, 1.2, rtol=0, atol=1e-6)


def pressure_of_lattice(spacing: float) -> float:
    """Pressure (bar) of the perfect lattice by the formula's strain derivative."""
    atoms = solid((2, 2, 2), spacing, amplitude=0)
    return expected("message", atoms)["virial"][:3].mean() / atoms.get_volume() * PRESSURE_FACTOR["metal"]


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("target", [5000.0, -5000.0])
def test_box_relax_iso(archives, target: float, n_ranks: int, tmp_path: Path):
    """box/relax iso: the relaxed cell is the one whose formula has the pressure asked for."""
    pairs = pair(archives["message", "float64"])
    text = start(solid((2, 2, 2), amplitude=0), tmp_path) + pairs + STATE
    text += f"fix r all box/relax iso {target} vmax 0.002\nminimize 0 1e-8 500 2000\n{show('now')}unfix r\n"
    text += 'print "volume = $(vol:%.17g)"\n'
    done = completed(text + fresh(pairs), n_ranks, tmp_path)
    np.testing.assert_allclose(done.values("fresh")[3:6], target, rtol=1e-5)
    assert_same_state(done, "now", "fresh")
    spacing = brentq(lambda d: pressure_of_lattice(d) - target, 2.12, 2.28, xtol=1e-12)
    assert done.values("volume")[0] == pytest.approx((2 * spacing) ** 3, rel=1e-7)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("kind", ["aniso", "tri"])
def test_box_relax_of_a_sheared_cell(archives, kind: str, n_ranks: int, tmp_path: Path):
    """box/relax tri: atoms and all cell vectors relax together to the target stress."""
    pairs, target = stiff_pair(archives["message", "float64"], STRENGTH), 2e5
    text = start(solid(amplitude=0.05), tmp_path) + "change_box all triclinic\n"
    if kind == "tri":
        text += "change_box all xy final 0.15 xz final -0.1 yz final 0.08 remap units box\n"
    text += f"change_box all x scale 1.005 remap\n{pairs}{STATE}fix r all box/relax {kind} {target} vmax 0.002\n"
    done = completed(text + f"minimize 0 1e-6 1000 5000\n{show('now')}unfix r\n{fresh(pairs)}", n_ranks, tmp_path)
    np.testing.assert_allclose(done.values("fresh")[3:6], target, rtol=1e-3)
    np.testing.assert_allclose(done.values("fresh")[6:9], 0, atol=1e-3 * target)
    assert done.values("fresh")[1] < 1e-2
    assert_same_state(done, "now", "fresh")


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linesearch_that_fails_is_told(archives, dtype: str, n_ranks: int, tmp_path: Path):
    """Rounding ends every minimization without tolerances; the line tells it of float32 alone, and of no other end."""
    pairs = stiff_pair(archives["message", dtype], STRENGTH)
    text = start(solid(amplitude=0.1), tmp_path) + pairs + STATE
    text += f"minimize 0 1e-1 500 2000\nprint middle\nminimize 0 0 500 5000\nrun 0\n{show('now')}"
    loose, tight = completed(text, n_ranks, tmp_path).output.split("middle\n", 1)
    line = "Pair style tdn: the minimization ended at a force two-norm of "
    assert "Stopping criterion = force tolerance" in loose
    assert "Stopping criterion = linesearch alpha is zero" in tight
    assert line not in loose
    assert tight.count(line) == (dtype == "float32")
    if dtype == "float32":
        told = float(tight.split(line)[1].split(",")[0])
        printed = float(re.findall(r"Force two-norm initial, final = \S+ (\S+)", tight)[0])
        assert told == pytest.approx(printed, rel=0.01)
        assert "write pair_style tdn precision float64" in tight
