"""Names of labels: what is read under which name, virials, and what is refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from molecules import molecule
from tiny import changed, crystals, labeled, settings, start, write
from torch_geometric_twin import new_graph, old_graph

from tdn.cli import main
from tdn.config.run import config_from_dict
from tdn.data.atoms_source import AtomsSource
from tdn.data.formats import oc
from tdn.data.formats.lmdb_file import write_lmdb
from tdn.data.formats.oc_write import CatalystEntry, compressed, plain, row_of, write_oc_graphs, write_oc_rows
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.formats.registry import KEY_OPTIONS
from tdn.data.labels import LabelKeys, read_labels
from tdn.data.loaded import Loaded
from tdn.data.source import Subset, open_source
from tdn.data.structure import Structure
from tdn.errors import TDNError

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
        with pytest.raises(TDNError, match="holds graphs, whose labels have fixed names; omit energy_key"):
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
        ("energy", "3.2 eV", "energy is '3.2 eV', which is not a number; write numbers without a unit"),
        ("energy", True, "energy is True, which is not a number"),
        ("energy", [1.0, 2.0], r"energy is \[1.0, 2.0\], 2 values where one is expected; write one number"),
        ("energy", "\x1b[2Jx" + 300 * "y", r"energy is '\\x1b\[2Jxyyy.*\.\.\.', which is not a number"),
        ("forces", [["a", "b", "c"]], r"forces is \[\['a', 'b', 'c'\]\], which is not a number"),
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


def frame(comment: str, properties: str = "species:S:1:pos:R:3:forces:R:3") -> str:
    """A frame of two atoms in a cube."""
    names = f"Properties={properties} " if properties else ""
    return f'2\nLattice="4 0 0 0 4 0 0 0 4" {names}{comment}\nCu 0 0 0 0 0 1\nCu 1.8 1.8 0 0 0 -1\n'


class TestUnread:
    @pytest.mark.parametrize(
        ("comment", "properties", "option", "name"),
        [
            ("energy=1 Energy=1", None, "energy_key", "Energy"),
            ("energy=1 free_energy=1", None, "energy_key", "free_energy"),
            ("energy=1 REF_energy=1", None, "energy_key", "REF_energy"),
            ("energy=1 dft_energy=1", None, "energy_key", "dft_energy"),
            ("energy=1 TotEnergy=1", None, "energy_key", "TotEnergy"),
            ("energy=1 TOTEN=1", None, "energy_key", "TOTEN"),
            ('energy=1 virial="1 0 0 0 1 0 0 0 1"', None, "stress_key", "virial"),
            ('energy=1 virials="1 0 0 0 1 0 0 0 1"', None, "stress_key", "virials"),
            ('energy=1 REF_stress="1 0 0 0 1 0 0 0 1"', None, "stress_key", "REF_stress"),
            ("energy=1", "species:S:1:pos:R:3:dft_forces:R:3", "forces_key", "dft_forces"),
            ("energy=1", "species:S:1:pos:R:3:REF_forces:R:3", "forces_key", "REF_forces"),
            ("energy=1", "species:S:1:pos:R:3:force:R:3", "forces_key", "force"),
            ("energy=1", "species:S:1:pos:R:3:Forces:R:3", "forces_key", "Forces"),
        ],
    )
    def test_one_note_wherever_it_stands(self, tmp_path, capsys, comment, properties, option, name):
        """Not only in the first hundred frames; and the option that it names reads the label."""
        usual, last = frame("energy=1"), frame(comment, properties or "species:S:1:pos:R:3:forces:R:3")
        (tmp_path / "a.xyz").write_text(150 * usual + last)
        assert main(["data", str(tmp_path / "a.xyz")]) == 0
        out = capsys.readouterr().out
        assert out.count("Note") == 1
        assert f"Note: names that look like labels are not read: {name} (in 1); select them with {option}." in out
        found = open_source({"path": tmp_path / "a.xyz", option: name})[150]
        assert getattr(found, option.removesuffix("_key")) is not None

    @pytest.mark.parametrize(
        "comment",
        [
            "energy=1 config_energy_weight=1",
            "energy=1 energy_unit=eV",
            "energy=1 kinetic_energy=2",
            "energy=1 config_type=bulk",
            "energy=1 stress_units=GPa",
            "energy=1 time=1.0 step=1 name=virtual dipole=0",
        ],
    )
    def test_names_that_only_sound_alike(self, tmp_path, comment):
        (tmp_path / "a.xyz").write_text(frame(comment))
        assert open_source(tmp_path / "a.xyz").unread_labels().note() is None

    def test_columns_without_names(self, tmp_path):
        (tmp_path / "a.xyz").write_text(frame("energy=1", ""))
        note = open_source(tmp_path / "a.xyz").unread_labels().note()
        assert "columns besides the positions in 1 structures have no name and are not read; Properties=species" in note

    def test_joined_and_cut_sources(self, tmp_path):
        (tmp_path / "a.xyz").write_text(frame("energy=1 free_energy=1"))
        (tmp_path / "b.xyz").write_text(2 * frame("energy=1 free_energy=1"))
        source = Loaded(Subset(open_source([tmp_path / "a.xyz", tmp_path / "b.xyz"]), [0]))
        assert source.unread_labels().found == {("energy_key", "free_energy"): 3}

    @pytest.mark.parametrize("name", ["other.db", "other.json", "other.traj"])
    def test_files_of_ase(self, files, name):
        if name == "other.traj":
            ase.io.write(files / name, [renamed(atoms) for atoms in crystals(3)])
        source = open_source(files / name)
        expected = {("energy_key", "REF_energy"), ("forces_key", "dft_forces"), ("stress_key", "my_virial")}
        if name == "other.traj":  # which keeps no columns of other names
            expected.remove(("forces_key", "dft_forces"))
        assert set(source.unread_labels().found) == expected
        assert open_source({"path": files / name, **KEYS}).unread_labels().note() in (
            None,
            "Note: names that look like labels are not read: energy (in 3); select them with energy_key.",
        )

    def test_stress_of_three_atoms_is_no_column(self, tmp_path):
        """A virial has the shape of a column in a structure of three atoms."""
        atoms = labeled(Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0]], cell=[6, 6, 6], pbc=True))
        atoms.info["virial"] = np.eye(3)
        ase.io.write(tmp_path / "a.traj", atoms)
        entry = CatalystEntry(Structure.from_atoms(atoms))
        write_rows(tmp_path / "a.aselmdb", [{**plain_row(entry), "virial": np.eye(3).tolist()}])
        for source in (open_source(tmp_path / "a.traj"), open_source(tmp_path / "a.aselmdb"), AtomsSource([atoms])):
            assert source.unread_labels().found == {("stress_key", "virial"): 1}


def plain_row(entry: CatalystEntry) -> dict:
    """Row of an OC20 file."""
    return json.loads(json.dumps(row_of(entry), default=plain))


def write_rows(path, rows: list[dict]) -> None:
    entries = [(str(key).encode(), compressed(row)) for key, row in enumerate(rows, 1)]
    write_lmdb(path, [*entries, (b"nextid", compressed(len(rows) + 1))])


ENTRIES = [CatalystEntry(Structure.from_atoms(atoms), system) for system, atoms in enumerate(crystals(4))]


class TestUnreadInLmdb:
    """OC20 and PubChemQCR: where names are free they are searched, where they are fixed this is the answer."""

    @pytest.mark.parametrize(
        ("where", "name", "value", "option"),
        [
            ("data", "corrected_energy", 1.0, "energy_key"),
            ("key_value_pairs", "dft_energy", 1.0, "energy_key"),
            (None, "free_energy", 1.0, "energy_key"),
            ("data", "ref_forces", np.ones((4, 3)).tolist(), "forces_key"),
            (
                "data",
                "ref_forces",
                {"__ndarray__": [[4, 3], "float64", [1.0] * 12]},
                "forces_key",
            ),
            ("data", "virial", np.eye(3).tolist(), "stress_key"),
        ],
    )
    def test_rows(self, tmp_path, capsys, where, name, value, option):
        """In the last of two shards; the option that is named reads it."""
        rows = [plain_row(entry) for entry in ENTRIES]
        write_rows(tmp_path / "a.aselmdb", rows)
        (rows[3].setdefault(where, {}) if where else rows[3])[name] = value
        write_rows(tmp_path / "b.aselmdb", rows)
        assert main(["data", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert f"Note: names that look like labels are not read: {name} (in 1); select them with {option}." in out
        assert out.count("Note") == 1
        assert "names  " not in out
        selected = open_source({"path": tmp_path / "b.aselmdb", option: name}).shards[0].structure(3, "s2ef")
        assert getattr(selected, option.removesuffix("_key")) is not None

    def test_rows_of_training(self, tmp_path):
        rows = [plain_row(entry) for entry in ENTRIES]
        for row in rows:
            row["data"]["corrected_energy"] = 1.0
        write_rows(tmp_path / "a.aselmdb", rows)
        lines = start(tmp_path, changed(settings(max_epochs=1), "data", train="a.aselmdb"))
        note = "Note: names that look like labels are not read: corrected_energy (in 4); select them with energy_key."
        assert note in lines

    def test_rows_without_the_energy(self, tmp_path):
        rows = [{**plain_row(entry), "energy": None, "ref_energy\x1b": 1.0} for entry in ENTRIES]
        write_rows(tmp_path / "a.aselmdb", rows)
        with pytest.raises(
            TDNError,
            match=r"row 1 of a.aselmdb has no energy, the energy of task s2ef \(it has ref_energy\\x1b: select one "
            r"with energy_key\); choose",
        ):
            open_source(tmp_path / "a.aselmdb")[0]

    def test_shards_are_searched_evenly(self, tmp_path, monkeypatch):
        """More structures than are looked at: some of every shard."""
        monkeypatch.setattr(oc, "LOOKED_AT", 8)
        rows = [plain_row(entry) for entry in ENTRIES]
        write_rows(tmp_path / "a.aselmdb", 20 * rows)
        write_rows(tmp_path / "b.aselmdb", 20 * [{**row, "dft_energy": 1.0} for row in rows])
        assert open_source(tmp_path).unread_labels().found == {("energy_key", "dft_energy"): 4}

    @pytest.mark.parametrize("write", [old_graph, new_graph])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("energy", 1.0),
            ("energy", torch.tensor([1.0])),
            ("forces", torch.ones(4, 3)),
            ("forces", np.ones((4, 3))),
            ("stress", torch.ones(1, 3, 3)),
            ("virial", torch.ones(1, 9)),
        ],
    )
    def test_graphs(self, tmp_path, capsys, write, name, value):
        structure = ENTRIES[0].structure
        fields = {
            "pos": torch.tensor(structure.positions),
            "cell": torch.tensor(structure.cell[None]),
            "atomic_numbers": torch.tensor(structure.numbers),
            "y": 1.0,
        }
        entries = [(b"0", write(**fields)), (b"1", write(**fields, **{name: value}))]
        write_lmdb(tmp_path / "a.lmdb", [*entries, (b"length", pickle.dumps(2))])
        assert main(["data", str(tmp_path / "a.lmdb"), "--format", "oc"]) == 0
        out = capsys.readouterr().out
        assert (
            f"Note: names that look like labels are not read: {name} (in 1); names are fixed in this format "
            "(OC20 graphs: y, force): write the labels under these names, or as extended XYZ." in out
        )
        assert "names       fixed in OC20 graphs: y, force" in out

    def test_published_fields_of_graphs_raise_no_alarm(self, tmp_path, capsys):
        relaxed = [replace(entry, relaxed=entry.structure) for entry in ENTRIES]
        write_oc_graphs(tmp_path / "a.lmdb", ENTRIES)
        write_oc_graphs(tmp_path / "b.lmdb", relaxed)
        write_oc_rows(tmp_path / "c.aselmdb", relaxed)
        for name, task, fixed in (
            ("a.lmdb", "s2ef", "OC20 graphs: y, force"),
            ("b.lmdb", "is2re", "OC20, task is2re: y_relaxed"),
            ("c.aselmdb", "is2re", "OC20, task is2re: y_relaxed"),
        ):
            options = ["--format", "oc", "--option", f"task={task}", "--json"]
            assert main(["data", str(tmp_path / name), *options]) == 0
            found = json.loads(capsys.readouterr().out)
            assert (found["notes"], found["fixed_names"]) == ([], [fixed])

    def test_is2re_has_one_label(self, tmp_path):
        write_oc_rows(tmp_path / "c.aselmdb", [replace(ENTRIES[0], relaxed=ENTRIES[0].structure)])
        spec = {"path": tmp_path / "c.aselmdb", "task": "is2re", "energy_key": "corrected_energy"}
        with pytest.raises(TDNError, match="task is2re reads y_relaxed, so omit energy_key"):
            open_source(spec)

    def test_pubchemqcr(self, tmp_path, capsys):
        write_pubchemqcr(tmp_path / "a.lmdb", [(1, {"DFT_1st": [molecule(1)]})])
        assert main(["data", str(tmp_path / "a.lmdb")]) == 0
        out = capsys.readouterr().out
        assert "names       fixed in PubChemQCR: energy, gradient" in out
        assert "Note" not in out

    def test_joined_sources_say_both(self, tmp_path):
        write_pubchemqcr(tmp_path / "a.lmdb", [(1, {"DFT_1st": [molecule(1)]})])
        write_oc_graphs(tmp_path / "b.lmdb", ENTRIES)
        source = open_source([tmp_path / "a.lmdb", {"path": tmp_path / "b.lmdb", "format": "oc"}])
        assert source.unread_labels().fixed == {"PubChemQCR: energy, gradient", "OC20 graphs: y, force"}


class TestEnergiesOfAnotherName:
    @pytest.fixture
    def folder(self, tmp_path):
        """Twelve structures, the energies of the last three under another name."""
        path = write(tmp_path / "train.xyz", crystals(12))
        frames = path.read_text().split("energy=")
        path.write_text("energy=".join(frames[:10]) + "".join("Energy=" + part for part in frames[10:]))
        return tmp_path

    def test_training_refuses(self, folder):
        with pytest.raises(
            TDNError, match=r"^3 structures have no energy under the name energy but have Energy; select"
        ):
            start(folder, settings())
        assert not (folder / "run").exists()

    def test_unless_no_energies_are_learned(self, folder):
        lines = start(folder, settings(energy_weight=0.0, max_epochs=1))
        assert any("energies 9" in line for line in lines)
        (note,) = (line for line in lines if line.startswith("Note: names"))
        assert "Energy (in 3); select them with energy_key" in note

    def test_a_second_stage_that_learns_energies(self, folder):
        stage = {"start": 0.5, "energy_weight": 1.0}
        with pytest.raises(TDNError, match="no energy under the name energy but have Energy"):
            start(folder, settings(energy_weight=0.0, second_stage=stage))

    def test_in_the_validation_file(self, folder):
        write(folder / "good.xyz", crystals(3))
        with pytest.raises(TDNError, match="no energy under the name energy but have Energy"):
            start(folder, changed(settings(), "data", train="good.xyz", valid="train.xyz"))

    def test_evaluate_says_it(self, folder, capsys):
        write(folder / "good.xyz", crystals(6))
        start(folder, changed(settings(max_epochs=1), "data", train="good.xyz"))
        model = str(folder / "run" / "best.ckpt")
        assert main(["evaluate", model, str(folder / "train.xyz")]) == 0
        assert "Note: names that look like labels are not read: Energy (in 3); select" in capsys.readouterr().out
        assert main(["evaluate", model, str(folder / "train.xyz"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["notes"] == [
            "Note: names that look like labels are not read: Energy (in 3); select them with energy_key."
        ]


class TestSharedFaults:
    """The little files that showed these faults."""

    @pytest.fixture
    def faults(self, shared_data):
        folder = shared_data.parent / "faults"
        if not folder.is_dir():
            pytest.skip("the little faulty files are not beside this checkout (../shared/faults)")
        return folder

    @pytest.mark.parametrize(("name", "found"), [("Energy", "Energy"), ("free_energy", "free_energy")])
    def test_energies_of_another_name(self, faults, tmp_path, capsys, name, found):
        path = str(faults / "unused_energy" / f"{name}.xyz")
        with pytest.raises(TDNError, match=f"have no energy under the name energy but have {found}; select one with"):
            start(tmp_path, changed(settings(), "data", train=path))
        assert main(["data", path]) == 0
        assert f"Note: names that look like labels are not read: {found} (in 12)" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("unused_energy/both", "REF_energy (in 12), virial (in 12); select them with energy_key and stress_key"),
            ("unused_energy/noprops", "columns besides the positions in 12 structures have no name and are not read"),
            ("peek/mixed_late", "DFT_forces (in 36); select them with forces_key"),
        ],
    )
    def test_told_by_data_and_train(self, faults, tmp_path, capsys, name, found):
        path = str(faults / f"{name}.xyz")
        assert main(["data", path]) == 0
        assert found in capsys.readouterr().out
        lines = start(tmp_path, changed(settings(max_epochs=1), "data", train=path))
        assert any(found in line for line in lines)


def test_names_out_of_a_file_are_escaped(tmp_path, capsys):
    """As many as there may be, whatever is in them."""
    names = " ".join(f"energy\x1b[31m_{number}=1" for number in range(20))
    (tmp_path / "a.xyz").write_text(frame(f"energy=1 {names}"))
    assert main(["data", str(tmp_path / "a.xyz")]) == 0
    out = capsys.readouterr().out
    assert r"energy\x1b[31m_0 (in 1)" in out
    assert "12 more" in out
    assert "\x1b" not in out
