"""OC20 and OC22 in both forms: values, tags and fixed atoms, tasks, shards, what is refused, writing."""

from __future__ import annotations

import json
import pickle
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.db.row import AtomsRow
from molecules import assert_same, crystal, molecule
from torch_geometric_twin import new_graph, old_graph

from tdn.data.formats.lmdb_file import LmdbFile, write_lmdb
from tdn.data.formats.oc_write import CatalystEntry, write_oc_graphs, write_oc_rows
from tdn.data.source import open_source
from tdn.errors import TDNError

#: Both writers, with the precision that their form has.
FORMS = [(write_oc_rows, "a.aselmdb", 1e-14), (write_oc_graphs, "a.lmdb", 1e-6)]
ENTRIES = [CatalystEntry(crystal(seed), system=seed // 2, frame=seed) for seed in range(4)]
RELAXATIONS = [CatalystEntry(crystal(0), system=5, relaxed=crystal(1))]


def row(**changes):
    """A row of ASE's, by hand."""
    values = {"numbers": [29, 8], "positions": [[0, 0, 0], [0, 0, 1.5]], "energy": -1.0, **changes}
    return zlib.compress(json.dumps({name: value for name, value in values.items() if value is not None}).encode())


def number(value):
    return zlib.compress(json.dumps(value).encode())


def graph(write=old_graph, **changes):
    """A graph as the published files have it, by hand."""
    fields = {
        "pos": torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]]),
        "cell": 5 * torch.eye(3)[None],
        "atomic_numbers": torch.tensor([29.0, 8.0]),
        "natoms": 2,
        "tags": torch.tensor([1, 2]),
        "fixed": torch.tensor([1.0, 0.0]),
        "y": -1.25,
        "force": torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]]),
        "sid": 77,
        "fid": torch.tensor([3]),
        **changes,
    }
    return write(**{name: value for name, value in fields.items() if value is not None})


def write_graphs(path, *graphs):
    write_lmdb(path, [(str(key).encode(), value) for key, value in enumerate(graphs)])
    return path


@pytest.mark.parametrize(("write", "name", "precision"), FORMS)
class TestBothForms:
    def test_there_and_back(self, tmp_path, write, name, precision):
        assert write(tmp_path / name, ENTRIES) == 4
        source = open_source(tmp_path / name)
        assert len(source) == 4
        for index in (3, 0, 1, 2):
            assert_same(ENTRIES[index].structure, source[index], rtol=precision, atol=precision)
        assert source.left_out == {}
        assert source.elements() == ("O", "Cu")
        assert source.get_groups().tolist()[0] == source.get_groups().tolist()[1] != source.get_groups().tolist()[3]
        assert len(set(source.get_groups())) == 2

    def test_initial_structure_with_relaxed_energy(self, tmp_path, write, name, precision):
        write(tmp_path / name, RELAXATIONS)
        (found,) = open_source({"path": str(tmp_path / name), "task": "is2re"})
        expected = replace(crystal(0), energy=crystal(1).energy, forces=None)
        assert_same(expected, found, rtol=precision, atol=precision)

    def test_without_relaxed_energy(self, tmp_path, write, name, precision):
        write(tmp_path / name, ENTRIES)
        with pytest.raises(TDNError, match=r"^\w+ \d of a\.\w+ has no y_relaxed, the energy of task is2re.*; choose"):
            open_source({"path": str(tmp_path / name), "task": "is2re"})[0]

    def test_folder_of_shards(self, tmp_path, write, name, precision):
        ending = name.removeprefix("a")
        write(tmp_path / f"data.0001{ending}", ENTRIES[:1])
        write(tmp_path / f"data.0002{ending}", ENTRIES[1:])
        source = open_source(str(tmp_path))
        assert source.file_names == [f"data.0001{ending}", f"data.0002{ending}"]
        assert [round(one.energy, 5) for one in source] == [round(one.structure.energy, 5) for one in ENTRIES]
        groups = source.get_groups().tolist()  # a relaxation may lie in several shards
        assert groups[0] == groups[1]

    def test_without_tags_and_fixed_atoms(self, tmp_path, write, name, precision):
        structure = replace(crystal(0, tags=False), fixed=None)
        write(tmp_path / name, [CatalystEntry(structure)])
        (found,) = open_source(tmp_path / name)
        assert_same(structure, found, rtol=precision, atol=precision)

    def test_pickled_and_in_worker_processes(self, tmp_path, write, name, precision):
        write(tmp_path / name, ENTRIES)
        source = open_source(tmp_path / name)
        assert_same(source[2], pickle.loads(pickle.dumps(source))[2])
        loader = torch.utils.data.DataLoader(
            source, batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=60, collate_fn=passed
        )
        for one, other in zip(source, loader, strict=True):
            assert_same(one, other)

    def test_energy_is_needed(self, tmp_path, write, name, precision):
        with pytest.raises(TDNError, match="crystal 0 has no energy, which OC20's formats need; choose other"):
            write(tmp_path / name, [CatalystEntry(replace(crystal(0), energy=None))])
        assert not (tmp_path / name).exists()

    def test_existing_file(self, tmp_path, write, name, precision):
        write(tmp_path / name, ENTRIES)
        with pytest.raises(TDNError, match="already exists"):
            write(tmp_path / name, ENTRIES)

    def test_unknown_task(self, tmp_path, write, name, precision):
        write(tmp_path / name, ENTRIES)
        with pytest.raises(TDNError, match=r"task is 's2fe' \(did you mean 's2ef'\?\); known are s2ef, is2re"):
            open_source({"path": str(tmp_path / name), "task": "s2fe"})


def passed(structure):
    return structure


class TestRows:
    def test_as_ase_understands_them(self, tmp_path):
        write_oc_rows(tmp_path / "a.aselmdb", ENTRIES)
        content = json.loads(zlib.decompress(LmdbFile(tmp_path / "a.aselmdb").get(b"2")))
        atoms = AtomsRow({**content, "id": 2}).toatoms()
        structure = ENTRIES[1].structure
        np.testing.assert_array_equal(atoms.positions, structure.positions)
        np.testing.assert_array_equal(atoms.get_forces(apply_constraint=False), structure.forces)
        assert atoms.constraints[0].index.tolist() == [0]
        assert atoms.get_tags().tolist() == structure.tags.tolist()
        assert json.loads(zlib.decompress(LmdbFile(tmp_path / "a.aselmdb").get(b"nextid"))) == 5

    def test_named_as_a_database_of_ase(self, tmp_path):
        write_oc_rows(tmp_path / "a.aselmdb", ENTRIES)
        assert len(open_source({"path": str(tmp_path / "a.aselmdb"), "format": "ase_db"})) == 4

    def test_stress(self, tmp_path):
        stress = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
        write_oc_rows(tmp_path / "a.aselmdb", [CatalystEntry(replace(crystal(), stress=stress))])
        np.testing.assert_array_equal(open_source(tmp_path / "a.aselmdb")[0].stress, stress)

    def test_deleted_rows(self, tmp_path):
        rows = [(b"1", row(energy=1.0)), (b"3", row(energy=3.0)), (b"nextid", number(4)), (b"deleted_ids", number([2]))]
        write_lmdb(tmp_path / "a.aselmdb", [*rows, (b"metadata", number({"about": "test"}))])
        source = open_source(tmp_path / "a.aselmdb")
        assert [one.energy for one in source] == [1.0, 3.0]
        assert source[1].name == "row 3 of a.aselmdb"
        assert source.left_out == {"deleted row": 1}

    def test_without_next_id(self, tmp_path):
        write_lmdb(tmp_path / "a.lmdb", [(str(key).encode(), row(energy=float(key))) for key in (1, 2, 10)])
        assert [one.energy for one in open_source(tmp_path / "a.lmdb")] == [1.0, 2.0, 10.0]

    def test_arrays_with_markers(self, tmp_path):
        positions = {"__ndarray__": [[2, 3], "float64", [0, 0, 0, 0, 0, 1.5]]}
        write_lmdb(tmp_path / "a.lmdb", [(b"1", row(positions=positions))])
        np.testing.assert_array_equal(open_source(tmp_path / "a.lmdb")[0].positions, [[0, 0, 0], [0, 0, 1.5]])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (row(positions=None), "^row 1 of a.lmdb has no 'positions'; give files of OC20"),
            (row(energy=None), "^row 1 of a.lmdb has no energy, the energy of task s2ef; choose another task"),
            (row(forces=[[0, 0, 0]]), r"its forces have shape \(1, 3\), not \(2, 3\)"),
            (row(energy=float("nan")), "its energy hold a value that is not a finite number"),
            (row(numbers=[29, 200]), "atomic number 200, which is not an element"),
            (row(numbers="text"), "^row 1 of a.lmdb is malformed"),
            (row(constraints=[{"name": "FixAtoms", "kwargs": {"indices": [9]}}]), "^row 1 of a.lmdb is malformed"),
            (number([1]), "^row 1 of a.lmdb is a list, not a row of ASE"),
            (number(1)[:-3], "^row 1 of a.lmdb is not compressed JSON"),
        ],
    )
    def test_refused(self, tmp_path, content, message):
        write_lmdb(tmp_path / "a.lmdb", [(b"1", content)])
        with pytest.raises(TDNError, match=message):
            open_source(tmp_path / "a.lmdb")[0]

    def test_missing_row(self, tmp_path):
        write_lmdb(tmp_path / "a.lmdb", [(b"1", row()), (b"nextid", number(3))])
        with pytest.raises(TDNError, match=r"row 2 of a\.lmdb is missing but not marked as deleted"):
            open_source(tmp_path / "a.lmdb")[1]


@pytest.mark.parametrize("write", [old_graph, new_graph])
class TestGraphs:
    def test_values(self, tmp_path, write):
        (found,) = open_source(write_graphs(tmp_path / "a.lmdb", graph(write)))
        assert found.numbers.tolist() == [29, 8]
        assert found.positions.tolist() == [[0, 0, 0], [0, 0, 1.5]]
        assert found.cell.tolist() == np.diag([5.0, 5.0, 5.0]).tolist()
        assert found.pbc.all()
        assert found.energy == -1.25
        assert found.forces.tolist() == [[0, 0, 0.5], [0, 0, -0.5]]
        assert found.fixed.tolist() == [True, False]
        assert found.tags.tolist() == [1, 2]
        assert found.name == "graph 0 of a.lmdb"

    @pytest.mark.parametrize("sid", [77, torch.tensor([77]), "random77", None])
    def test_relaxations(self, tmp_path, write, sid):
        graphs = [graph(write, sid=sid), graph(write, sid=78 if sid is not None else None), graph(write, sid=sid)]
        groups = open_source(write_graphs(tmp_path / "a.lmdb", *graphs)).get_groups()
        if sid is None:
            assert groups is None
        else:
            assert groups[0] == groups[2] != groups[1]

    @pytest.mark.parametrize("energy", [-1.25, torch.tensor([-1.25]), torch.tensor(-1.25), np.float64(-1.25)])
    def test_forms_of_an_energy(self, tmp_path, write, energy):
        assert open_source(write_graphs(tmp_path / "a.lmdb", graph(write, y=energy)))[0].energy == -1.25

    def test_length(self, tmp_path, write):
        entries = [(str(key).encode(), graph(write)) for key in range(3)]
        write_lmdb(tmp_path / "a.lmdb", [*entries, (b"length", pickle.dumps(2))])
        source = open_source(tmp_path / "a.lmdb")
        assert len(source) == 2
        assert source.left_out == {"graph beyond the number of graphs that the file states": 1}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"pos": None}, "^graph 0 of a.lmdb has no 'pos', only atomic_numbers, cell, .*; give files of OC20"),
            ({"y": None}, "^graph 0 of a.lmdb has no y, the energy of task s2ef, only .*; choose another task"),
            ({"atomic_numbers": torch.tensor([29.5, 8.0])}, "is malformed .whole numbers were expected"),
            ({"pos": torch.zeros(3, 3)}, r"its positions have shape \(3, 3\), not \(2, 3\)"),
            ({"force": torch.full((2, 3), torch.nan)}, "its forces hold a value that is not a finite number"),
            ({"cell": torch.zeros(4)}, "is malformed"),
            ({"extra": print}, r"^graph 0 of a\.lmdb is not unpickled: .*builtins\.print"),
        ],
    )
    def test_refused(self, tmp_path, write, changes, message):
        with pytest.raises(TDNError, match=message):
            open_source(write_graphs(tmp_path / "a.lmdb", graph(write, **changes)))[0]


class TestSharedFiles:
    def test_two_sources_of_one_file(self, tmp_path):
        write_oc_rows(tmp_path / "a.aselmdb", ENTRIES)
        sources = [open_source(tmp_path / "a.aselmdb") for _ in range(2)]
        assert sources[0][0].energy == sources[1][0].energy

    def test_file_that_is_replaced(self, tmp_path):
        path = tmp_path / "a.aselmdb"
        for entries in (ENTRIES[:1], ENTRIES[1:2]):
            write_oc_rows(path, entries, overwrite=True)
            assert open_source(path)[0].energy == entries[0].structure.energy


class TestGraphFiles:
    def test_what_is_written_names_the_class_of_torch_geometric(self, tmp_path):
        write_oc_graphs(tmp_path / "a.lmdb", ENTRIES)
        file = LmdbFile(tmp_path / "a.lmdb")
        assert b"ctorch_geometric.data.data\nData\n" in file.get(b"0")
        assert b"tdn" not in file.get(b"0")
        assert pickle.loads(file.get(b"length")) == 4

    def test_missing_graph(self, tmp_path):
        write_lmdb(tmp_path / "a.lmdb", [(b"0", graph()), (b"2", graph())])
        with pytest.raises(TDNError, match=r"graph 1 of a\.lmdb is missing; write the file again with the keys 0, 1"):
            open_source(tmp_path / "a.lmdb")[1]

    def test_wrong_length(self, tmp_path):
        write_lmdb(tmp_path / "a.lmdb", [(b"0", graph()), (b"length", pickle.dumps(5))])
        with pytest.raises(TDNError, match="has 1 graphs but states their number as 5; write it again"):
            open_source(tmp_path / "a.lmdb")

    def test_molecules_have_no_place(self, tmp_path):
        with pytest.raises(TDNError, match=r"molecule 0 is not periodic in three directions.*; write the newer one"):
            write_oc_graphs(tmp_path / "a.lmdb", [CatalystEntry(molecule())])

    def test_only_reserved_keys(self, tmp_path):
        write_lmdb(tmp_path / "a.lmdb", [(b"nextid", number(1))])
        with pytest.raises(TDNError, match="holds no structures with the keys of OC20; give another file"):
            open_source(tmp_path / "a.lmdb")
