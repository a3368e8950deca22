"""neigh_modify exclude: whole atoms leave the model, single pairs are refused, since its energy needs all of them."""

from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import Run, run, setup, single_point
from solid import STATE, assert_same_state, completed, fresh, pair, show, solid, start
from test_closed_form import ELEMENTS, STRUCTURES, expected, float64_formulas  # noqa: F401

#: IDs that are taken out of every structure that has them.
OUT = [2, 3, 7, 11, 12, 13, 20]
GROUP = f"group out id {' '.join(map(str, OUT))}\n"
H_OUT = "neigh_modify exclude type 1 1 exclude type 2 1\n"
ALL_PAIRS = "hides pairs of atoms from the model, whose energy depends on all of them"


def assert_without(atoms: ase.Atoms, out: np.ndarray, model: Path, folder: Path, n_ranks: int, exclude: str) -> Run:
    """Energies, forces and virials are those of the other atoms alone; the excluded ones have none."""
    commands = "comm_style tiled" if n_ranks == 4 and len(atoms) > 20 else "processors 1 1 *"
    got = single_point(
        atoms, model, ELEMENTS, folder, n_ranks, commands=commands, pair=f"{pair(model)}{GROUP}{exclude}"
    )
    want = expected("message", atoms[~out])
    np.testing.assert_allclose(got.atom_energies[~out], want["atom_energies"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.forces[~out], want["forces"], rtol=0, atol=1e-9)
    assert np.all(got.atom_energies[out] == 0)
    assert np.all(got.forces[out] == 0)
    np.testing.assert_allclose(got.energy, want["atom_energies"].sum(), rtol=0, atol=1e-9)
    scale = max(1.0, np.abs(want["virial"]).max())
    np.testing.assert_allclose(got.virial, want["virial"], rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(got.atom_virials, want["virial"], rtol=0, atol=1e-9 * scale)
    return got.run


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("structure", ["bulk", "triclinic", "cell_below_cutoff", "slab_with_empty_ranks"])
def test_group_is_no_part_of_the_model(archives, structure: str, n_ranks: int, tmp_path: Path):
    atoms = STRUCTURES[structure][0]()
    out = np.isin(np.arange(1, len(atoms) + 1), OUT)
    exclude = f"neigh_modify exclude group {'all out' if structure == 'triclinic' else 'out all'}\n"
    done = assert_without(atoms, out, archives["message", "float64"], tmp_path, n_ranks, exclude)
    said = f"neigh_modify exclude takes {out.sum()} of {len(atoms)} atoms out of the model"
    assert done.output.count(said) == 1


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_type_is_no_part_of_the_model(archives, n_ranks: int, tmp_path: Path):
    """Pairs of H with every type, H too, are excluded: so is H."""
    atoms = STRUCTURES["bulk"][0]()
    assert_without(atoms, atoms.symbols == "H", archives["message", "float64"], tmp_path, n_ranks, H_OUT)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("exclude", ["group all all", "type 1 1 exclude type 1 2 exclude type 2 2"])
def test_all_atoms_excluded(archives, exclude: str, n_ranks: int, tmp_path: Path):
    atoms = STRUCTURES["bulk"][0]()
    everything = np.ones(len(atoms), bool)
    exclude = f"neigh_modify exclude {exclude}\n"
    assert_without(atoms, everything, archives["message", "float64"], tmp_path, n_ranks, exclude)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_excluded_atoms_in_motion(archives, n_ranks: int, tmp_path: Path):
    """Excluded atoms fly among the others; the state is that of a run without them, until they come back."""
    pairs = pair(archives["message", "float64"])
    text = f"{start(solid(mixed=True), tmp_path)}{pairs}{STATE}{GROUP}velocity all create 3000 3 mom yes\n"
    text += "velocity out set 100 70 NULL sum yes\nneigh_modify exclude group out all every 1 delay 0 check yes\n"
    text += f"timestep 0.0005\nfix 1 all nve\nneighbor 0.5 bin\nrun 120\n{show('now')}"
    text += f"neigh_modify exclude none\nrun 0\n{show('back')}write_data data.back\n"
    text += f"delete_atoms group out compress no\n{fresh(pairs)}"
    text += f"clear\n{setup(ase.Atoms(pbc=True), data='data.back')}{pairs}{STATE}run 0\n{show('whole')}"
    done = completed(text, n_ranks, tmp_path)
    assert_same_state(done, "now", "fresh")
    assert_same_state(done, "back", "whole")
    assert abs(done.values("now")[0] - done.values("back")[0]) > 1


REFUSED = {
    "group f f": f"exclude group f f {ALL_PAIRS}: leave it out, or take whole atoms out by neigh_modify exclude group "
    "f all",
    "group f rest": f"exclude group f rest {ALL_PAIRS}: leave it out, or take whole atoms out by neigh_modify exclude "
    "group f all",
    "molecule/intra all": f"exclude molecule/intra all {ALL_PAIRS}: leave it out",
    "molecule/inter f": f"exclude molecule/inter f {ALL_PAIRS}: leave it out",
    "type 1 1": f"exclude type 1 1 {ALL_PAIRS}: leave it out, or exclude one of the types from all types",
    "type 2 1": f"exclude type 2 1 {ALL_PAIRS}: leave it out, or exclude one of the types from all types",
}
GROUPS = "group f id 1:10\ngroup rest subtract all f\ngroup nobody empty\n"
MOLECULES = "fix ids all property/atom mol ghost yes"


def refused(done: Run, sentence: str) -> None:
    assert done.returncode != 0, done.output
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("exclude", REFUSED)
def test_pairs_are_refused(archives, exclude: str, n_ranks: int, tmp_path: Path):
    text = start(solid(), tmp_path, MOLECULES) + pair(archives["message", "float64"]) + GROUPS
    done = run(f"{text}set group all mol 1\nneigh_modify exclude {exclude}\nrun 0\n", n_ranks, tmp_path)
    refused(done, f"neigh_modify {REFUSED[exclude]}")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_pairs_are_refused_in_a_run(archives, n_ranks: int, tmp_path: Path):
    """A group gets its atoms after step 5; the lists of the steps before hold all pairs."""
    text = start(solid(), tmp_path) + pair(archives["message", "float64"])
    text += "group f empty\nneigh_modify exclude group f f\n"
    text += "neigh_modify every 1 delay 0 check no\nfix 1 all nve\nthermo 1\nrun 20 every 5 'group f id 1:10'\n"
    done = run(text, n_ranks, tmp_path)
    refused(done, f"neigh_modify {REFUSED['group f f']}")
    assert any(line.split()[:1] == ["4"] for line in done.output.splitlines())


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("exclude", ["group f nobody", "group nobody nobody", "molecule/intra nobody"])
def test_group_without_atoms_is_harmless(archives, exclude: str, n_ranks: int, tmp_path: Path):
    pairs = pair(archives["message", "float64"])
    text = start(solid(), tmp_path, MOLECULES) + pairs + STATE + GROUPS
    text += f"set group all mol 1\nrun 0\n{show('before')}neigh_modify exclude {exclude}\nrun 0\n{show('after')}"
    done = completed(text, n_ranks, tmp_path)
    assert_same_state(done, "before", "after")
    assert "out of the model" not in done.output


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("exclude", ["type 1 1", "type 1 2", "group h h", "group h all", "molecule/intra h"])
def test_pairs_of_atoms_outside_the_model(archives, exclude: str, n_ranks: int, tmp_path: Path):
    """H belongs to another pair style: its pairs are not the model's."""
    pairs = f"pair_style hybrid/overlay tdn device cpu soft 2.5\npair_coeff * * tdn {archives['message', 'float64']} "
    pairs += "NULL O\npair_coeff * * soft 0.0\n"
    text = start(solid(), tmp_path, MOLECULES) + pairs + STATE + "group h type 1\nset group all mol 1\n"
    text += f"run 0\n{show('before')}neigh_modify exclude {exclude}\nrun 0\n{show('after')}"
    done = completed(text, n_ranks, tmp_path)
    assert_same_state(done, "before", "after")
    assert "out of the model" not in done.output
