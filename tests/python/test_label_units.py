"""Stresses and energies in other units are told with the likely unit; real data raise no alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from tiny import changed, crystals, labeled, settings, start, write

import tdn
from tdn.cli import main
from tdn.data.source import open_source
from tdn.data.structure import Structure
from tdn.statistics.units import UnitCheck

#: Factor of a stress in this unit.
STRESS = {"GPa": 160.21766, "kbar": 1602.1766}


def warnings(structures, change: Callable[[Structure], Structure] = lambda one: one) -> list[str]:
    check = UnitCheck()
    for structure in map(change, structures):
        check.add_structure(structure)
    return check.warnings()


def in_unit(unit: str) -> Callable[[Structure], Structure]:
    """The stress in another unit, or the virial in its place."""
    if unit in STRESS:
        return lambda one: replace(one, stress=one.stress * STRESS[unit])
    return lambda one: replace(one, stress=-one.stress * abs(np.linalg.det(one.cell)))


def per_atom(one: Structure) -> Structure:
    return replace(one, energy=one.energy / len(one))


def per_atom_of_all_electrons(one: Structure) -> Structure:
    """Far from zero, as such energies are."""
    return per_atom(replace(one, energy=one.energy - 100.0 * len(one)))


def read(path) -> list[Structure]:
    return [structure for structure in open_source(path) if structure.energy is not None]


def copper_of_all_sizes() -> list[Structure]:
    """Rattled and strained copper and gold of 4 to 32 atoms."""
    generator = np.random.default_rng(0)
    structures = []
    for index in range(24):
        atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * [(1, 1, 1), (2, 1, 1), (2, 2, 2)][index % 3]
        atoms.symbols[: 1 + index % 4] = "Au"
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(scale=0.08, size=atoms.positions.shape)
        structures.append(Structure.from_atoms(labeled(atoms)))
    return structures


class TestRealData:
    @pytest.mark.parametrize(
        "name",
        [
            "silicon/Si_training.xyz",
            "silicon/Si_test.xyz",
            "mixed/mptrj_10.xyz",
            "water/valid.xyz",
            "acac/acac_train_300K.xyz",
            "acac/acac_isolated_atoms.xyz",
            "acac/acac_test_dihedral.xyz",
            "ethanol/ethanol_100.xyz",
        ],
    )
    def test_no_false_alarm(self, shared_data, name):
        structures = read(shared_data / name)
        assert warnings(structures) == []
        assert warnings(structures[:10]) == []

    @pytest.mark.parametrize("name", ["oc20/s2ef_train.aselmdb", "pubchemqcr/small.lmdb"])
    def test_no_false_alarm_in_the_examples(self, request, name):
        assert warnings(read(request.config.rootpath / "examples" / name)) == []

    @pytest.mark.parametrize("unit", ["GPa", "kbar", "a virial in eV"])
    @pytest.mark.parametrize("name", ["silicon/Si_training.xyz", "silicon/Si_test.xyz", "mixed/mptrj_10.xyz"])
    def test_other_units_are_found(self, shared_data, name, unit):
        (line,) = warnings(read(shared_data / name), in_unit(unit))
        assert line.startswith("Warning: the stress is probably not in eV/angstrom^3")
        assert unit in line.partition("looks like ")[2].partition(" (")[0]

    @pytest.mark.parametrize("name", ["silicon/Si_training.xyz", "silicon/Si_test.xyz"])
    def test_energies_per_atom_are_found(self, shared_data, name):
        (line,) = warnings(read(shared_data / name), per_atom)
        assert "energies do not grow with the number of atoms (" in line

    def test_energies_per_atom_of_molecules(self, request):
        (line,) = warnings(read(request.config.rootpath / "examples" / "pubchemqcr" / "small.lmdb"), per_atom)
        assert "they are probably energies per atom, but total energies are needed" in line


class TestMadeUpData:
    def test_right_units(self):
        assert warnings(copper_of_all_sizes()) == []

    @pytest.mark.parametrize("unit", ["GPa", "kbar", "a virial in eV"])
    def test_other_units_of_stress(self, unit):
        (line,) = warnings(copper_of_all_sizes(), in_unit(unit))
        assert unit in line.partition("looks like ")[2].partition(" (")[0]

    def test_energies_per_atom(self):
        (line,) = warnings(copper_of_all_sizes(), per_atom_of_all_electrons)
        assert "(4 to 32)" in line

    def test_high_pressure_is_no_other_unit(self):
        """Copper at volumes where EMT has 60 to 160 GPa."""
        structures = [
            Structure.from_atoms(labeled(bulk("Cu", "fcc", a=a, cubic=True))) for a in np.linspace(3.0, 3.2, 10)
        ]
        assert [abs(structures[end].stress[0, 0]) for end in (0, -1)] == pytest.approx([1.0, 0.5], rel=0.5)
        assert warnings(structures) == []

    def test_energies_that_scatter_about_zero(self):
        """Adsorption energies do not grow with the slab, and are no energies per atom."""
        generator = np.random.default_rng(1)
        structures = [replace(one, energy=generator.normal(-1.0, 1.0)) for one in copper_of_all_sizes()]
        assert warnings(structures) == []

    def test_structures_of_one_size_say_nothing(self):
        structures = [one for one in copper_of_all_sizes() if len(one) == 4]
        assert warnings(structures, per_atom) == []

    @pytest.mark.parametrize("missing", ["energy", "forces", "stress"])
    def test_without_a_label(self, missing):
        assert warnings(copper_of_all_sizes(), lambda one: replace(one, **{missing: None})) == []

    def test_nothing(self):
        assert warnings([]) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(in_unit("GPa"), "it looks like GPa"), (per_atom_of_all_electrons, "they are probably energies per atom")],
)
def test_commands_say_it(tmp_path, capsys, change, sentence):
    """All three by the same code; data and evaluate see the same structures and say the same to the digit."""
    frames = [change(structure).to_atoms() for structure in copper_of_all_sizes()]
    path = write(tmp_path / "train.xyz", frames)
    lines = start(tmp_path, settings(max_epochs=1))
    (line,) = (line for line in lines if line.startswith("Warning"))
    assert sentence in line
    assert main(["data", str(path)]) == 0
    (expected,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning"))
    assert sentence in expected
    model = tmp_path / "run" / "best.ckpt"
    for options in ([], ["--limit", "24"]):
        assert main(["evaluate", str(model), str(path), *options]) == 0
        assert capsys.readouterr().out.splitlines().count(expected) == 1
    assert main(["evaluate", str(model), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [expected]
    (note,) = tdn.evaluate(model, frames).notes
    assert sentence in note


def test_validation_data_in_another_unit(tmp_path):
    """Of a file of its own; the split of one file is told once."""
    write(tmp_path / "train.xyz", crystals(8))
    write(tmp_path / "valid.xyz", [in_unit("kbar")(one).to_atoms() for one in copper_of_all_sizes()])
    lines = start(tmp_path, changed(settings(max_epochs=1), "data", valid="valid.xyz"))
    (line,) = (line for line in lines if line.startswith("Warning"))
    assert line.startswith("Warning about the validation data: the stress is probably not in eV/angstrom^3")
    assert "it looks like kbar" in line


def test_evaluate_says_nothing_of_good_data(tmp_path, capsys):
    write(tmp_path / "train.xyz", crystals(8))
    start(tmp_path, settings(max_epochs=1))
    assert main(["evaluate", str(tmp_path / "run" / "best.ckpt"), str(tmp_path / "train.xyz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []
