"""Settings that keep atoms or pairs of the model out of the neighbor lists, other than neigh_modify exclude."""

import re
from pathlib import Path

import numpy as np
import pytest
from lammps_runner import Run, run
from solid import STATE, assert_same_state, completed, pair, show, solid, start

ALL_PAIRS = "hides pairs of atoms from the model, whose energy depends on all of them"
GROUP = "region half block INF INF INF INF INF 4\ngroup m region half\natom_modify first m\n"


def refused(done: Run, sentence: str) -> None:
    assert done.returncode != 0, done.output
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


GROUP_SETTINGS = {
    "neigh_modify include m": "neigh_modify include m hides atoms of the model that are not in this group: leave it "
    "out",
    "comm_modify group m": "comm_modify group m makes no ghosts of atoms of the model that are not in this group: "
    "leave it out",
}


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("setting", GROUP_SETTINGS)
def test_lists_of_a_group(archives, setting: str, n_ranks: int, tmp_path: Path):
    text = start(solid(), tmp_path) + GROUP + pair(archives["message", "float64"])
    refused(run(f"{text}{setting}\nrun 0\n", n_ranks, tmp_path), GROUP_SETTINGS[setting])


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_order_of_atoms_alone_hides_nothing(archives, n_ranks: int, tmp_path: Path):
    """atom_modify first puts the atoms of a group first in memory."""
    pairs = pair(archives["message", "float64"])
    text = f"{start(solid(), tmp_path)}{pairs}{STATE}run 0\n{show('before')}{GROUP}run 0\n{show('after')}"
    assert_same_state(completed(text, n_ranks, tmp_path), "before", "after")


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("setting", GROUP_SETTINGS)
def test_group_that_holds_all_atoms_of_the_model(archives, setting: str, n_ranks: int, tmp_path: Path):
    """Atoms outside of the group belong to no pair style that is asked for their energy."""
    pairs = f"pair_style hybrid/overlay tdn device cpu zero 3.0\npair_coeff * * tdn {archives['message', 'float64']} "
    pairs += "NULL O\npair_coeff * * zero\n"
    text = f"{start(solid(), tmp_path)}{pairs}{STATE}run 0\n{show('before')}"
    text += f"group m type 2\natom_modify first m\n{setting}\nrun 0\n{show('after')}"
    done = completed(text, n_ranks, tmp_path)
    # fnorm aside: with neigh_modify include LAMMPS does not clear the forces of other atoms
    before, after = (np.delete(done.values(name), 1) for name in ("before", "after"))
    np.testing.assert_allclose(before, after, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("types", ["1 1", "1 2"])
def test_pairs_given_to_another_style(archives, types: str, n_ranks: int, tmp_path: Path):
    pairs = f"pair_style hybrid tdn device cpu zero 3.0\npair_coeff * * tdn {archives['message', 'float64']} H O\n"
    done = run(f"{start(solid(), tmp_path)}{pairs}pair_coeff {types} zero\nrun 0\n", n_ranks, tmp_path)
    first, second = types.split()
    refused(
        done,
        f"pair_style hybrid gives the pairs of types {first} and {second} to another style, which {ALL_PAIRS}: write "
        "pair_style hybrid/overlay, or NULL for one of the types",
    )


WATER = """
units metal
atom_style full
region b block 0 10 0 10 0 10
create_box 2 b bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 4
mass 1 1.008
mass 2 15.999
create_atoms 2 single 5 5 5
create_atoms 1 single 6 5 5
create_atoms 1 single 5 6.1 5
set type 1 charge 0.4
set type 2 charge -0.8
bond_style zero
bond_coeff *
{pairs}
create_bonds single/bond 1 1 2
create_bonds single/bond 1 1 3
{special}
thermo_style custom step pe ecoul elong
{computes}
run 0
print "energies = {values}"
"""
#: Pair styles beside the model, their coefficients, and the special_bonds that hide, and that do not.
OTHERS = {
    "coul/cut 4.0": ("", "lj/coul 0 0 0.5", "lj 1 1 0.5 coul 0 0 0.5"),
    "coul/debye 0.5 4.0": ("", "lj 0 0 0 coul 0 1 1", "lj 1 0 0 coul 0 1 1"),
    "lj/cut 4.0": ("0.01 1.5", "lj/coul 0 0 0.5", "lj 0 0 0.5 coul 1 1 0.5"),
    "lj/cut/coul/cut 4.0": ("0.01 1.5", "lj/coul 0 0.2 0.5", "lj 1e-50 0.2 0.5 coul 0 0.2 0.5"),
}


def water(pairs: str, special: str, styles: list[str], more: str = "") -> str:
    computes = "".join(f"compute c{k} all pair {style}\n" for k, style in enumerate(styles))
    values = " ".join(f"$(c_c{k}:%.17g)" for k in range(len(styles))) + more
    return WATER.format(pairs=pairs, special=f"special_bonds {special}", computes=computes, values=values)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("other", OTHERS)
def test_advice_for_special_bonds(archives, other: str, n_ranks: int, tmp_path: Path):
    """Following it the model sees all neighbors and the other pair style has the energy that it had."""
    coefficients, hiding, cure = OTHERS[other]
    name, model = other.split()[0], archives["message", "float64"]
    both = f"pair_style hybrid/overlay tdn device cpu {other}\npair_coeff * * tdn {model} H O\n"
    both += f"pair_coeff * * {name} {coefficients}"
    done = run(water(both, hiding, ["tdn", name]), n_ranks, tmp_path)
    sentence = "special_bonds weights lj 0 and coul 0 of 1-2 neighbors hide them from the model: write special_bonds "
    refused(done, sentence + cure)
    advice = re.search(r"write special_bonds (.*)", done.error)
    assert advice
    got = completed(water(both, advice[1], ["tdn", name]), n_ranks, tmp_path).values("energies")
    alone = f"pair_style {other}\npair_coeff * * {coefficients}"
    want = completed(water(alone, hiding, [name]), 1, tmp_path).values("energies")
    whole = completed(water(pair(model), "lj/coul 1 1 1", ["tdn"]), 1, tmp_path).values("energies")
    np.testing.assert_allclose(got, [whole[0], want[0]], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_special_bonds_with_a_long_range_solver(archives, n_ranks: int, tmp_path: Path):
    """Its real-space part needs every pair in the list, so that weights of zero hide nothing."""
    model = archives["message", "float64"]
    pairs = f"pair_style hybrid/overlay tdn device cpu coul/long 4.0\npair_coeff * * tdn {model} H O\n"
    pairs += "pair_coeff * * coul/long\nkspace_style ewald 1e-8"
    energies = {
        special: completed(water(pairs, special, ["tdn", "coul/long"], " $(elong:%.17g)"), n_ranks, tmp_path).values(
            "energies"
        )
        for special in ("lj/coul 0 0 0", "lj 1 1 1 coul 0 0 0", "lj/coul 1 1 1")
    }
    whole = completed(water(pair(model), "lj/coul 1 1 1", ["tdn"]), 1, tmp_path).values("energies")
    zero, right, all_pairs = energies.values()
    np.testing.assert_allclose(zero, right, rtol=0, atol=1e-10)
    assert zero[0] == pytest.approx(whole[0], abs=1e-10)
    assert abs(zero[1] - all_pairs[1]) > 1


def test_special_bonds_of_atoms_outside_the_model(archives, tmp_path: Path):
    """Bonds among atoms that pair_coeff gives no element hide nothing of the model."""
    pairs = f"pair_style hybrid/overlay tdn device cpu zero 3.0\npair_coeff * * tdn {archives['message', 'float64']} "
    pairs += "NULL O\npair_coeff * * zero"
    got = completed(water(pairs, "lj/coul 0 0 0", ["tdn"]), 1, tmp_path).values("energies")
    assert got[0] == pytest.approx(0.5**2 - 2, abs=1e-10)
