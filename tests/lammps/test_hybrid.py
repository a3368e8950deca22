"""Checklist "hybrid and hybrid/overlay (with zbl, with lj/cut, with NULL types), hybrid/scaled": sums of parts."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import SinglePoint, single_point
from solid import ELEMENTS, STATE, assert_same_state, completed, fresh, show, solid, start
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401

ATOMS = random_atoms(40, [8.0, 7.0, 9.0])
#: Longer than the model's cutoff of 3 angstrom: the ghost shell and LAMMPS's lists are wider than the model's own.
LONG = "lj/cut 8.0"
RANKS = pytest.mark.parametrize("n_ranks", [2])


def point(folder: Path, pairs: str, n_ranks: int = 1) -> SinglePoint:
    return single_point(ATOMS, Path(), ELEMENTS, folder, n_ranks, pair=pairs)


def assert_sum(whole: SinglePoint, parts: list[tuple[float, SinglePoint]], scale: float = 1.0) -> None:
    """Energies, forces and the three virials are those of the parts with their weights."""
    for name in ("atom_energies", "forces", "virial", "atom_virials"):
        want = sum(weight * getattr(part, name) for weight, part in parts)
        np.testing.assert_allclose(getattr(whole, name), want, rtol=1e-10, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_overlay_with_a_much_longer_cutoff(archives, n_ranks: int, tmp_path: Path):
    """hybrid/overlay with lj/cut of 8 angstrom."""
    model = archives["message", "float64"]
    lj = "pair_coeff * * {}0.01 1.0\n"
    both = point(
        tmp_path,
        f"pair_style hybrid/overlay tdn device cpu {LONG}\npair_coeff * * tdn {model} H O\n{lj.format('lj/cut ')}",
        n_ranks,
    )
    alone = point(tmp_path, f"pair_style {LONG}\n{lj.format('')}")
    tdn = point(tmp_path, f"pair_style tdn device cpu\npair_coeff * * {model} H O\n")
    assert np.abs(tdn.forces - expected("message", ATOMS)["forces"]).max() < 1e-9
    assert_sum(both, [(1, alone), (1, tdn)], 10)


@RANKS
def test_overlay_with_zbl(archives, n_ranks: int, tmp_path: Path):
    """hybrid/overlay with zbl, the usual repulsion at short distance."""
    model = archives["message", "float64"]
    both = point(
        tmp_path,
        f"pair_style hybrid/overlay zbl 1.0 2.0 tdn device cpu\npair_coeff * * tdn {model} H O\n"
        "pair_coeff 1 1 zbl 1 1\npair_coeff 1 2 zbl 1 8\npair_coeff 2 2 zbl 8 8\n",
        n_ranks,
    )
    alone = point(tmp_path, "pair_style zbl 1.0 2.0\npair_coeff 1 1 1 1\npair_coeff 1 2 1 8\npair_coeff 2 2 8 8\n")
    tdn = point(tmp_path, f"pair_style tdn device cpu\npair_coeff * * {model} H O\n")
    assert np.abs(alone.forces).max() > 1
    assert_sum(both, [(1, alone), (1, tdn)], 10)


@RANKS
def test_hybrid_by_type(archives, n_ranks: int, tmp_path: Path):
    """Hybrid: the model for O, lj for all pairs with H, which the model does not see (NULL)."""
    model = archives["message", "float64"]
    both = point(
        tmp_path,
        f"pair_style hybrid {LONG} tdn device cpu\npair_coeff * * tdn {model} NULL O\npair_coeff 1 * lj/cut 0.01 1.0\n",
        n_ranks,
    )
    lj = point(tmp_path, f"pair_style hybrid {LONG} zero 3.0\npair_coeff 1 * lj/cut 0.01 1.0\npair_coeff 2 2 zero\n")
    oxygen = ATOMS.symbols == "O"
    want = expected("message", ATOMS[oxygen])
    np.testing.assert_allclose((both.forces - lj.forces)[oxygen], want["forces"], rtol=0, atol=1e-8)
    np.testing.assert_allclose((both.forces - lj.forces)[~oxygen], 0, atol=1e-8)
    np.testing.assert_allclose(both.virial - lj.virial, want["virial"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(both.energy - lj.energy, want["atom_energies"].sum(), rtol=0, atol=1e-8)


@RANKS
def test_two_models_at_once(archives, n_ranks: int, tmp_path: Path):
    """hybrid/overlay of two tdn styles, numbered; their row widths differ and each keeps its own exchange."""
    lines = "".join(
        f"pair_coeff * * tdn {k} {archives[name, 'float64']} H O\n" for k, name in ((1, "message"), (2, "pair"))
    )
    both = point(tmp_path, f"pair_style hybrid/overlay tdn device cpu tdn device cpu\n{lines}", n_ranks)
    wants = [expected(name, ATOMS) for name in ("message", "pair")]
    for name in ("atom_energies", "forces", "virial"):
        want = sum(part[name] for part in wants)
        np.testing.assert_allclose(getattr(both, name), want, rtol=1e-10, atol=1e-8, err_msg=name)


@RANKS
def test_scaled_is_the_mean_of_two_models(archives, n_ranks: int, tmp_path: Path):
    """hybrid/scaled: half of each of two archives."""
    lines = "".join(
        f"pair_coeff * * tdn {k} {archives[name, 'float64']} H O\n" for k, name in ((1, "message"), (2, "pair"))
    )
    half = point(tmp_path, f"pair_style hybrid/scaled 0.5 tdn device cpu 0.5 tdn device cpu\n{lines}", n_ranks)
    wants = [expected(name, ATOMS) for name in ("message", "pair")]
    for name in ("atom_energies", "forces", "virial"):
        want = sum(0.5 * part[name] for part in wants)
        np.testing.assert_allclose(getattr(half, name), want, rtol=1e-10, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("n_ranks", [1])
def test_suffix_omp(archives, n_ranks: int, tmp_path: Path):
    """Suffix omp: LAMMPS takes its threaded styles where they exist, around a tdn that has none."""
    model = archives["message", "float64"]
    pairs = f"pair_style hybrid/overlay tdn device cpu lj/cut 2.5\npair_coeff * * tdn {model} H O\n"
    pairs += "pair_coeff * * lj/cut 0.01 1.0\n"
    text = start(ATOMS, tmp_path, "package omp 2\nsuffix omp") + pairs + STATE + f"run 0\n{show('now')}"
    done = completed(text + "suffix off\n" + fresh(pairs), n_ranks, tmp_path)
    assert "Last active /omp style is pair_style lj/cut" in done.output
    assert_same_state(done, "now", "fresh")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_dynamics_with_null_types(archives, n_ranks: int, tmp_path: Path):
    """Hybrid with NULL types in motion: energy is conserved across rebuilds and migrations, the last state is exact."""
    pairs = (
        f"pair_style hybrid/overlay tdn device cpu soft 3.4\n"
        f"pair_coeff * * tdn {archives['message', 'float64']} NULL O\npair_coeff * * soft 0.5\n"
    )
    text = start(solid(mixed=True), tmp_path) + pairs + STATE + "velocity all create 2000 3 mom yes\nneighbor 0.5 bin\n"
    text += f"neigh_modify every 1 delay 0 check yes\ntimestep 0.0002\nfix 1 all nve\nrun 0\n{show('begin')}"
    text += f'print "e0 = $(etotal:%.17g)"\nrun 500\nprint "e1 = $(etotal:%.17g)"\n{show("now")}{fresh(pairs)}'
    done = completed(text, n_ranks, tmp_path)
    assert abs(done.values("now")[0] - done.values("begin")[0]) > 0.5
    assert done.values("e1")[0] == pytest.approx(done.values("e0")[0], abs=64 * 1e-5)
    assert_same_state(done, "now", "fresh")
