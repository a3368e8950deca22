"""Simulations that the model cannot run end with one sentence that names the atoms or the setting."""

from pathlib import Path

import ase
import pytest
import torch
from lammps_runner import run, setup, write_data
from make_archives import PairModel, label, write
from torch import Tensor
from water_molecule import ATOMS, MODEL, fill


@pytest.fixture
def folder(tmp_path: Path, archives) -> Path:
    return fill(tmp_path, archives)


def test_atoms_without_ids(folder: Path):
    sentence = "atoms have no IDs: write atom_modify id yes"
    text = (
        "units metal\natom_modify id no\nregion b block 0 10 0 10 0 10\ncreate_box 1 b\nmass 1 1\n"
        f"create_atoms 1 single 5 5 5\npair_style tdn device cpu\npair_coeff * * {MODEL} O\nrun 0\n"
    )
    done = run(text, 2, folder)
    assert done.returncode != 0
    assert done.error == f"ERROR: Pair style tdn: {sentence}"


def test_energy_that_is_no_number_names_step_and_atom(folder: Path):
    model = PairModel()
    model.stiffness[3] = torch.nan  # O with O
    write(model, label("pair", [1], "float32", {}), folder / "nan.tdn.pt")
    write_data(
        ase.Atoms("HO2", positions=[[5, 5, 5], [6, 5, 5], [5, 6, 5]], cell=[10] * 3), ["H", "O"], folder / "data.test"
    )
    text = f"{setup(ATOMS)}pair_style tdn device cpu\npair_coeff * * nan.tdn.pt H O\nrun 0\n"
    done = run(text, 1, folder)
    assert done.returncode != 0
    sentence = (
        "the energy of atom 2 is not a finite number at step 0 on rank 0: look for overlapping atoms or use a smaller "
        "time step"
    )
    assert f"Pair style tdn: {sentence}" in done.output


@pytest.mark.parametrize("position", [[5, 5, 5], [15, 5, -5]])
def test_two_atoms_at_the_same_point(folder: Path, position: list[float]):
    write_data(ase.Atoms("HO", positions=[[5, 5, 5], position], cell=[10] * 3), ["H", "O"], folder / "data.test")
    text = f"{setup(ATOMS)}pair_style tdn device cpu\npair_coeff * * {MODEL} H O\nrun 0\n"
    done = run(text, 1, folder)
    assert done.returncode != 0
    sentence = "atoms 1 and 2 are at the same point at step 0: remove one of them or use a smaller time step"
    assert done.error.endswith(f"Pair style tdn: {sentence}"), done.output


BONDED = """
units metal
atom_style bond
region b block 0 10 0 10 0 10
create_box 2 b bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 4
mass * 10
create_atoms 2 single 5 5 5
create_atoms 1 single 6 5 5
bond_style zero
bond_coeff *
pair_style tdn device cpu
pair_coeff * * {model} H O
create_bonds single/bond 1 1 2
special_bonds {weights}
run 0
print "e = $(pe:%.17g)"
"""


def test_special_bonds_that_hide_neighbors(folder: Path):
    done = run(BONDED.format(model=MODEL, weights="lj/coul 0 1 1"), 2, folder)
    assert done.returncode != 0
    sentence = (
        "special_bonds weights lj 0 and coul 0 of 1-2 neighbors hide them from the model: write special_bonds "
        "lj/coul 1 1 1"
    )
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


def test_special_bonds_that_keep_neighbors(folder: Path):
    """A neighbor with one weight above zero is in the list, and the model sees all of it."""
    runs = [run(BONDED.format(model=MODEL, weights=w), 1, folder) for w in ("lj/coul 1 1 1", "lj 0 0 0 coul 0.5 1 1")]
    energies = [done.values("e")[0] for done in runs]
    assert energies[0] == energies[1]
    assert abs(energies[0] - (0.3**2 - 1 + 0.5**2 - 2)) > 1e-3  # two atoms that do not see each other


class HungryModel(PairModel):
    """Asks for more memory than any machine has."""

    @torch.jit.export
    def embed(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """2^52 numbers."""
        return torch.zeros([1 << 52], dtype=features[0].dtype)


def test_out_of_memory(folder: Path):
    write(HungryModel(), label("pair", [1], "float32", {}), folder / "hungry.tdn.pt")
    text = f"{setup(ATOMS)}pair_style tdn device cpu\npair_coeff * * hungry.tdn.pt H O\nrun 0\n"
    done = run(text, 1, folder)
    assert done.returncode != 0
    assert "Pair style tdn: out of memory: use more ranks or a smaller system" in done.output
