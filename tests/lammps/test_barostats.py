"""Checklist "NVE, NVT, NPT (iso, tri), deform": conserved quantities, moving cells, and no stale lists at the end."""

from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import PRESSURE_FACTOR
from solid import STATE, assert_same_state, completed, fresh, pair, show, solid, start, stiff_pair, table

RUN = "velocity all create 300 3 mom yes rot no\ntimestep 0.0005\n"
COLUMNS = "thermo_style custom step etotal econserve vol lx ly lz xy xz yz fnorm fmax c_w[*]\n"
FORMAT = "thermo_modify norm no format float %.15g\n"
LENGTHS = slice(4, 10)

ENSEMBLES = {
    "nve": "nve",
    "nvt": "nvt temp 300 300 0.05",
    "npt_iso": "npt temp 300 300 0.05 iso 2.5e5 2.5e5 0.2",
    "npt_tri": "npt temp 300 300 0.05 tri 2.5e5 2.5e5 0.2",
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_conserved_quantity(archives, ensemble: str, n_ranks: int, tmp_path: Path):
    """NVE, NVT, NPT (iso, tri): energy plus the work of thermostat and barostat stays; the last state is exact."""
    pairs = stiff_pair(archives["message", "float64"])
    text = start(solid(amplitude=0.05), tmp_path) + f"change_box all triclinic\n{pairs}{STATE}{COLUMNS}{FORMAT}{RUN}"
    text += f"thermo 10\nfix 1 all {ENSEMBLES[ensemble]}\nrun 400\n{show('now')}"
    done = completed(text + fresh(pairs), n_ranks, tmp_path)
    rows = table(done)
    # With iso coupling LAMMPS's own conserved quantity drifts for any pair style and time step.
    limit = 0.01 * np.ptp(rows[:, 1]) if ensemble == "npt_iso" else 64 * 1e-5
    assert np.ptp(rows[:, 2]) < limit
    if ensemble != "nve":
        assert np.ptp(rows[:, 1]) / 64 > 1e-2
    if "npt" in ensemble:
        assert np.ptp(rows[:, 3]) > 20
    if "tri" in ensemble:
        assert np.abs(np.diff(rows[:, 7:10], axis=0)).min() > 0
    assert_same_state(done, "now", "fresh")


def cells(rows: np.ndarray) -> np.ndarray:
    """Cell matrices (n, 3, 3) with the cell vectors in columns."""
    lx, ly, lz, xy, xz, yz = rows[:, LENGTHS].T
    zero = np.zeros_like(lx)
    return np.stack([lx, xy, xz, zero, ly, yz, zero, zero, lz], -1).reshape(-1, 3, 3)


def work_on_cell(rows: np.ndarray) -> float:
    """Energy (eV) that moving the box put in: the sum of -W_ab d(strain)_ab over the steps with strain = dh h^-1.

    Fix deform acts between the forces of a step and its output: row k shows the new box with the old virial, and row
    k + 1 the virial after it.
    """
    w = rows[:, -6:] * rows[:, 3:4] / PRESSURE_FACTOR["metal"]
    virial = w[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    h = cells(rows)
    change = h[1:] - h[:-1]
    lx = h[1:, 0, 0]
    change[:, 0, 1] -= lx * np.round(change[:, 0, 1] / lx)  # LAMMPS flips a tilted box to an equivalent one
    strain = change @ np.linalg.inv((h[1:] + h[:-1]) / 2)
    assert not change[-1].any()
    return -float(((virial[1:-1] + virial[2:]) / 2 * strain[:-1]).sum())


DEFORMATIONS = {
    "stretch": "x erate 0.2 y erate -0.1",
    "shear_with_flips": "xy erate 6.0",
    "all_tilts": "xy erate 0.5 xz erate -0.4 yz erate 0.3",
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("kind", DEFORMATIONS)
def test_deform_does_the_work_of_the_virial(archives, kind: str, n_ranks: int, tmp_path: Path):
    """Deform: the energy changes by the work of the virial, step by step, and a fresh start sees the same atoms."""
    pairs = pair(archives["message", "float64"])
    text = start(solid(), tmp_path) + f"change_box all triclinic\n{pairs}{STATE}{COLUMNS}{FORMAT}{RUN}thermo 1\n"
    text += f"fix 1 all nve\nfix 2 all deform 5 {DEFORMATIONS[kind]} remap x\nrun 198\n{show('now')}"
    done = completed(text + fresh(pairs), n_ranks, tmp_path)
    rows = table(done)
    gained = rows[-1, 1] - rows[0, 1]
    assert abs(gained) > 0.02
    assert work_on_cell(rows) == pytest.approx(gained, rel=3e-3)
    assert_same_state(done, "now", "fresh")


MOVES = {
    "npt": "fix 1 all npt temp 300 300 0.05 aniso 5e4 5e4 0.05",
    "deform": "fix 1 all nve\nfix 2 all deform 5 x erate 1.5 y erate -1 z erate 1 remap x",
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("move", MOVES)
def test_cell_below_the_cutoff_that_moves(archives, move: str, n_ranks: int, tmp_path: Path):
    """Cell smaller than the cutoff under NPT and deform: images of an atom enter and leave its own surroundings."""
    pairs = pair(archives["message", "float64"])
    atoms = ase.Atoms("OH", positions=[[0.2, 0.3, 0.1], [1.5, 1.6, 1.4]], cell=[2.8, 2.9, 2.9], pbc=True)
    text = start(atoms, tmp_path) + f"{pairs}{STATE}{COLUMNS}{FORMAT}{RUN}thermo 1\nneighbor 0.1 bin\n"
    done = completed(f"{text}{MOVES[move]}\nrun 198\n{show('now')}{fresh(pairs)}", n_ranks, tmp_path)
    rows = table(done)
    assert rows[:, 4:7].min() < 3.0 and np.ptp(rows[:, 4:7], axis=0).min() > 0.1
    if move == "npt":
        assert np.ptp(rows[:, 2]) < 1e-3  # of 0.06 eV that barostat and thermostat bring
    assert_same_state(done, "now", "fresh")
