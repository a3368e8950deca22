"""Names of labels: what is read under which name, virials, and what is refused."""

from __future__ import annotations

import ase.db
import numpy as np
import pytest
from ase import Atoms
from tiny import changed, crystals, settings, start, write

from tdn.cli import main
from tdn.data.formats.oc_write import CatalystEntry, write_oc_graphs, write_oc_rows
from tdn.data.labels import KEY_OPTIONS, LabelKeys, read_labels
from tdn.data.source import open_source
from tdn.data.structure import Structure
from tdn.errors import TDNError
from tdn.training.config import config_from_dict

KEYS = {"energy_key": "REF_energy", "forces_key": "dft_forces", "stress_key": "my_virial"}


def renamed(atoms: Atoms) -> Atoms:
    """The same labels under other names, the stress as a virial, beside wrong ones under the usual names."""
    other = atoms.copy()
    other.info["REF_energy"] = atoms.get_potential_energy()
    other.arrays["dft_forces"] = atoms.get_forces()
    other.info["my_virial"] = -atoms.get_stress(voigt=False) * atoms.get_volume()
    other.info["energy"] = 123.0
    return other


@pytest.fixture
def files(tmp_path):
    """The same structures in extended XYZ with the usual names and with others, and in databases with others."""
    frames = crystals(3)
    write(tmp_path / "usual.xyz", frames)
    write(tmp_path / "other.xyz", [renamed(atoms) for atoms in frames])
    for name in ("other.db", "other.json"):
        with ase.db.connect(tmp_path / name) as database:
            for atoms in frames:
                other = renamed(atoms)
                bare = other.copy()
                bare.info, forces = {}, bare.arrays.pop("dft_forces")
                virial = other.info["my_virial"]
                database.write(
                    bare,
                    key_value_pairs={"REF_energy": other.info["REF_energy"]},
                    data={"dft_forces": forces, "my_virial": virial},
                )
    return tmp_path


class TestOtherNames:
    @pytest.mark.parametrize("name", ["other.xyz", "other.db", "other.json"])
    def test_same_labels(self, files, name):
        usual = open_source(files / "usual.xyz")
        other = open_source({"path": files / name, **KEYS})
        for one, two in zip(usual, other, strict=True):
            assert two.energy == pytest.approx(one.energy, abs=1e-7)
            np.testing.assert_allclose(two.forces, one.forces, atol=1e-7)
            np.testing.assert_allclose(two.stress, one.stress, atol=1e-7)

    def test_option_for_all_files_of_a_list(self, files):
        source = open_source(
            [str(files / "other.xyz"), {"path": files / "usual.xyz", "energy_key": "energy"}], options=KEYS
        )
        assert [structure.energy for structure in source][:3] == pytest.approx(
            [structure.energy for structure in source][3:], abs=1e-7
        )

    def test_fingerprint_follows_the_names(self, files):
        plain = open_source(files / "other.xyz").fingerprint()
        assert open_source({"path": files / "other.xyz", **KEYS}).fingerprint() != plain

    def test_training(self, files):
        frames = crystals(3)
        write(files / "train.xyz", frames)
        usual = start(files, settings(max_epochs=1))
        write(files / "train.xyz", [renamed(atoms) for atoms in frames])
        other = start(files, changed(settings(max_epochs=1), "data", **KEYS) | {"run_dir": "second"})
        labels = [line for line in usual if line.startswith("labels")]
        assert labels == [line for line in other if line.startswith("labels")]
        assert "stress 3" in labels[0]

    @pytest.mark.parametrize("command", ["data", "convert"])
    def test_on_the_command_line(self, files, capsys, command):
        options = [text for name, value in KEYS.items() for text in (f"--{name.replace('_', '-')}", value)]
        target = [] if command == "data" else [str(files / "new.xyz")]
        assert main([command, str(files / "other.xyz"), *target, *options]) == 0
        if command == "data":
            assert "labels      energy 3, forces 3, stress 3" in capsys.readouterr().out
        else:
            assert open_source(files / "new.xyz")[0].energy == pytest.approx(crystals(1)[0].get_potential_energy())

    def test_rows_of_lmdb_and_graphs(self, tmp_path):
        structure = Structure.from_atoms(crystals(1)[0])
        write_oc_rows(tmp_path / "a.aselmdb", [CatalystEntry(structure, system=7)])
        (found,) = open_source({"path": tmp_path / "a.aselmdb", "energy_key": "sid"})
        assert found.energy == 7
        write_oc_graphs(tmp_path / "b.lmdb", [CatalystEntry(structure)])
        with pytest.raises(TDNError, match="holds graphs, whose labels have fixed names; leave out energy_key"):
            open_source({"path": tmp_path / "b.lmdb", "format": "oc", "energy_key": "sid"})


class TestVirial:
    def test_sign_and_volume(self):
        """Compressed matter pushes outward: dE/dV < 0, negative stress, positive virial."""
        stress = np.diag([-0.1, -0.2, -0.3])
        labels = read_labels({"virials": 24.0 * -stress}, LabelKeys(stress="virials"), np.diag([2.0, 3.0, 4.0]), True)
        np.testing.assert_allclose(labels.stress, stress)

    def test_needs_a_volume(self):
        with pytest.raises(TDNError, match=r"^virial is a virial but the cell has no volume to divide it by; give"):
            read_labels({"virial": np.eye(3)}, LabelKeys(stress="virial"), np.zeros((3, 3)), True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("energy", "3.2 eV", "energy is '3.2 eV', which is no number; write numbers without a unit"),
        ("energy", True, "energy is True, which is no number"),
        ("energy", [1.0, 2.0], r"energy is \[1.0, 2.0\], 2 values where one is expected; write one number"),
        ("energy", "\x1b[2Jx" + 300 * "y", r"energy is '\\x1b\[2Jxyyy.*\.\.\.', which is no number"),
        ("forces", [["a", "b", "c"]], r"forces is \[\['a', 'b', 'c'\]\], which is no number"),
        ("stress", [1.0, 2.0], r"stress is \[1.0, 2.0\], 2 values where 9 \(or 6\) are expected; correct it"),
    ],
)
def test_labels_that_are_no_numbers(name, value, message):
    with pytest.raises(TDNError, match="^" + message) as caught:
        read_labels({name: value}, LabelKeys(), np.eye(3), True)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("option", KEY_OPTIONS)
def test_a_key_is_a_name(option):
    with pytest.raises(TDNError, match=f"{option} is ''; give the name that the label has in the file"):
        config_from_dict({"run_dir": "run", "data": {"train": "a.xyz", option: ""}})
