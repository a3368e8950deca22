"""Sources of structures: files of ASE, joining, cutting, opening by path or mapping, worker processes."""

from __future__ import annotations

import json
import pickle

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from molecules import Grouped, assert_same, crystal, molecule

from tdn.data.source import Concatenation, Subset, open_source
from tdn.errors import TDNError

STRUCTURES = [molecule(0), crystal(1, tags=False), molecule(2)]


def write_xyz(path, structures=tuple(STRUCTURES)):
    ase.io.write(path, [structure.to_atoms() for structure in structures], format="extxyz")
    return path


def write_db(path):
    with ase.db.connect(path) as database:
        for structure in STRUCTURES:
            database.write(structure.to_atoms())
    return path


def write_traj(path):
    ase.io.write(path, [structure.to_atoms() for structure in STRUCTURES])
    return path


class Everything(torch.utils.data.Dataset):
    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return self.source[index].energy


@pytest.mark.parametrize(
    ("write", "name", "tolerance"),
    [(write_xyz, "a.xyz", 2e-8), (write_db, "a.db", 0), (write_db, "a.json", 0), (write_traj, "a.traj", 0)],
)
class TestFilesOfAse:
    def test_every_structure_in_any_order(self, tmp_path, write, name, tolerance):
        source = open_source(str(write(tmp_path / name)))
        assert len(source) == 3
        for index in (2, 0, 1, -1):
            assert_same(STRUCTURES[index], source[index], rtol=1e-12, atol=tolerance)
        assert source[1].name == f"structure 1 of {name}"
        assert (source.file_names, source.left_out, source.get_groups()) == ([name], {}, None)
        assert source.elements() == ("H", "O", "Cu")

    def test_beyond_the_end(self, tmp_path, write, name, tolerance):
        with pytest.raises(IndexError):
            open_source(write(tmp_path / name))[3]

    def test_pickled(self, tmp_path, write, name, tolerance):
        source = open_source(write(tmp_path / name))
        copy = pickle.loads(pickle.dumps(source))
        assert_same(source[1], copy[1])
        assert copy.fingerprint() == source.fingerprint()

    def test_in_worker_processes(self, tmp_path, write, name, tolerance):
        source = open_source(write(tmp_path / name))
        assert source[0].energy == pytest.approx(STRUCTURES[0].energy)  # opened here before the workers start
        loader = torch.utils.data.DataLoader(
            Everything(source), num_workers=1, multiprocessing_context="fork", timeout=60
        )
        assert torch.cat(list(loader)).tolist() == pytest.approx([one.energy for one in STRUCTURES], abs=1e-7)

    def test_fingerprint_follows_the_file(self, tmp_path, write, name, tolerance):
        path = write(tmp_path / name)
        before = open_source(path).fingerprint()
        assert open_source(path).fingerprint() == before
        path.unlink()
        write(path)
        assert open_source(path).fingerprint() != before


class TestXyz:
    def test_frames_are_parsed_one_by_one(self, tmp_path):
        path = write_xyz(tmp_path / "a.xyz")
        path.write_text(path.read_text().replace("O ", "XX", 1))
        source = open_source(path)
        assert_same(STRUCTURES[1], source[1], atol=2e-8)
        with pytest.raises(TDNError, match=r"^structure 0 of a\.xyz, line 3: 'XX' is not an element; write chemical"):
            source[0]

    def test_cell_vectors_after_the_atoms(self, tmp_path):
        atoms = "1\nplain\nCu 0 0 0\nVEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 3\n"
        (tmp_path / "a.xyz").write_text(2 * atoms)
        source = open_source(tmp_path / "a.xyz")
        assert len(source) == 2
        np.testing.assert_array_equal(source[1].cell, 3 * np.eye(3))


class TestJoinedAndCut:
    def test_concatenation(self, tmp_path):
        paths = [write_xyz(tmp_path / "a.xyz"), write_xyz(tmp_path / "b.xyz", STRUCTURES[:1])]
        source = open_source([str(path) for path in paths])
        assert len(source) == 4
        assert source.file_names == ["a.xyz", "b.xyz"]
        assert source[2].name == "structure 2 of a.xyz"
        assert source[3].name == source[-1].name == "structure 0 of b.xyz"
        assert source.elements() == ("H", "O", "Cu")
        assert source.get_groups() is None

    def test_groups_stay_apart(self):
        source = Concatenation([Grouped([7, 7, 9]), Subset(Grouped([7, 7]), [1])])
        assert source.get_groups().tolist() == [0, 0, 1, 2]

    def test_subset(self, tmp_path):
        source = Subset(open_source(write_xyz(tmp_path / "a.xyz")), [2, 0])
        assert [one.name for one in source] == ["structure 2 of a.xyz", "structure 0 of a.xyz"]
        assert source.elements() == ("H", "O")
        assert source.fingerprint() != Subset(source.source, [0, 2]).fingerprint()
        with pytest.raises(TDNError, match="a subset contains structure 3 of 3; give smaller indices"):
            Subset(source.source, [3])


class TestOpening:
    def test_mapping_and_resolved_path(self, tmp_path):
        write_xyz(tmp_path / "a.extxyz")
        source = open_source({"path": "a.extxyz", "format": "xyz"}, lambda text: tmp_path / text)
        assert len(source) == 3

    def test_environment_variables(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SOME_FOLDER", str(write_xyz(tmp_path / "a.xyz").parent))
        assert len(open_source("$SOME_FOLDER/a.xyz")) == 3

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("nothing.xyz", r"data file 'nothing\.xyz' does not exist; correct the path"),
            ({"format": "xyz"}, r"the data \{\} have no path; add 'path: FILE'"),
            ([], r"data are given as \[\]; give a path, a list of paths or a mapping"),
            (3, "data are given as 3; give a path"),
            (
                {"path": ".", "format": "xzy"},
                r"unknown data format 'xzy' \(did you mean 'xyz'\?\); known are xyz, ase_db",
            ),
            (
                {"path": ".", "format": "pubchemqcr", "stagee": "hf"},
                r"unknown option 'stagee' .*\(did you mean 'stage'\?\)",
            ),
            ({"path": ".", "format": "xyz"}, "is a folder; give a file, or a folder of LMDB shards"),
        ],
    )
    def test_refused(self, spec, message):
        with pytest.raises(TDNError, match=message):
            open_source(spec)

    def test_folder_without_shards(self, tmp_path):
        with pytest.raises(
            TDNError, match=r"is neither an LMDB file nor a folder with \.lmdb or \.aselmdb files; correct"
        ):
            open_source(tmp_path)

    def test_files_that_are_no_databases(self, tmp_path):
        (tmp_path / "a.db").write_text("text")
        with pytest.raises(TDNError, match=r"a\.db' cannot be read by ASE"):
            open_source(tmp_path / "a.db")
        (tmp_path / "a.json").write_text(json.dumps([1]))
        with pytest.raises(TDNError, match=r"a\.json' cannot be read by ASE"):
            open_source(tmp_path / "a.json")
        (tmp_path / "a.lmdb").write_text("text")
        with pytest.raises(TDNError, match=r"a\.lmdb' cannot be read as LMDB \(.*\); give an LMDB file"):
            open_source(tmp_path / "a.lmdb")


class TestBrokenDatabases:
    def test_values_that_are_no_labels(self, tmp_path):
        with ase.db.connect(tmp_path / "a.db") as database:
            database.write(STRUCTURES[0].to_atoms(), key_value_pairs={"my_energy": "high\x1b[2J"})
            database.write(STRUCTURES[0].to_atoms(), data={"my_forces": [[1, 2, 3]], "my_energy": [1, [2]]})
        source = open_source({"path": tmp_path / "a.db", "energy_key": "my_energy"})
        with pytest.raises(
            TDNError, match=r"^structure 0 of a\.db: its my_energy is 'high\\x1b\[2J', which is not a number"
        ):
            source[0]
        with pytest.raises(
            TDNError, match=r"^structure 1 of a\.db: its my_energy is \[1, \[2\]\], which is not a number"
        ):
            source[1]
        with pytest.raises(TDNError, match=r"^structure 1 of a\.db: its forces have shape \(1, 3\), not \(3, 3\)"):
            open_source({"path": tmp_path / "a.db", "forces_key": "my_forces"})[1]

    @pytest.mark.parametrize("write", [write_db, write_traj])
    def test_changed_bytes_are_read_or_told_in_a_sentence(self, tmp_path, write):
        generator = np.random.default_rng(0)
        name = "a.db" if write is write_db else "a.traj"
        valid = write(tmp_path / name).read_bytes()
        for _ in range(40):
            text = bytearray(valid)
            for place in generator.integers(len(text), size=generator.integers(1, 40)):
                text[place] = generator.integers(256)
            (tmp_path / name).write_bytes(text)
            try:
                for structure in open_source(tmp_path / name):
                    assert structure.problem() is None
            except TDNError as problem:
                assert str(problem).isprintable()
