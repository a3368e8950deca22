"""tdn data, tdn convert and tdn index: from any form to any other, what they print, what they refuse."""

from __future__ import annotations

import json

import pytest
from molecules import assert_same, crystal, molecule, raw_step, write_raw

from tdn.cli import main
from tdn.data.formats.oc_write import CatalystEntry, write_oc_graphs, write_oc_rows
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.source import open_source

MOLECULES = [[molecule(seed) for seed in range(start, start + 3)] for start in (0, 10)]
SLABS = [CatalystEntry(crystal(seed), system=seed // 2, frame=seed) for seed in range(4)]


@pytest.fixture
def shard(tmp_path):
    write_pubchemqcr(tmp_path / "a.lmdb", [(7, {"DFT_1st": MOLECULES[0]}), (9, {"DFT_1st": MOLECULES[1]})])
    return tmp_path / "a.lmdb"


def run(*arguments):
    return main([str(argument) for argument in arguments])


class TestConvert:
    @pytest.mark.parametrize("form", ["xyz", "oc-rows", "pubchemqcr"])
    def test_molecules(self, shard, tmp_path, capsys, form):
        target = tmp_path / ("b.xyz" if form == "xyz" else "b.lmdb")
        assert run("convert", shard, target, "--to", form) == 0
        assert f"wrote {target}: 6 structures\n" == capsys.readouterr().out
        source = open_source(target)
        for one, other in zip(MOLECULES[0] + MOLECULES[1], source, strict=True):
            assert_same(one, other, rtol=2e-7, atol=1e-8)
        groups = source.get_groups()
        assert groups is None if form == "xyz" else groups.tolist() == [0, 0, 0, 1, 1, 1]

    @pytest.mark.parametrize("form", ["xyz", "oc-rows", "oc-graphs"])
    @pytest.mark.parametrize("write", [write_oc_rows, write_oc_graphs])
    def test_slabs(self, tmp_path, form, write):
        write(tmp_path / "a.lmdb", SLABS)
        target = tmp_path / ("b.xyz" if form == "xyz" else "b.lmdb")
        assert run("convert", tmp_path / "a.lmdb", target, "--to", form) == 0
        found = {round(structure.energy, 6): structure for structure in open_source(target)}
        for entry in SLABS:
            assert_same(entry.structure, found[round(entry.structure.energy, 6)], rtol=1e-6, atol=1e-6)

    def test_form_by_the_ending(self, shard, tmp_path):
        assert run("convert", shard, tmp_path / "b.aselmdb") == 0
        assert len(open_source(tmp_path / "b.aselmdb")) == 6

    def test_options_of_the_source(self, shard, tmp_path):
        options = ("--option", "steps=last", "--option", "split=train", "--option", "ratios=[0.5, 0.5]")
        assert run("convert", shard, tmp_path / "b.xyz", *options) == 0
        (structure,) = open_source(tmp_path / "b.xyz")
        assert structure.energy in (MOLECULES[0][-1].energy, MOLECULES[1][-1].energy)

    def test_says_how_much_is_left_out(self, tmp_path, capsys):
        write_raw(tmp_path / "a.lmdb", {1: {"DFT_1st": [raw_step(), {**raw_step(), "energy": None}, raw_step()]}})
        assert run("convert", tmp_path / "a.lmdb", tmp_path / "b.xyz") == 0
        assert "2 structures; 1 entries of the source are left out, see 'tdn data'" in capsys.readouterr().out

    def test_nothing_is_overwritten(self, shard, tmp_path, capsys):
        target = tmp_path / "b.xyz"
        target.write_text("mine")
        assert run("convert", shard, target) == 1
        assert "already exists" in capsys.readouterr().err
        assert target.read_text() == "mine"
        assert run("convert", shard, target, "--overwrite") == 0
        assert len(open_source(target)) == 6

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("b.dat",), "the extension of 'b.dat' does not give the format; name one of xyz, pubchemqcr"),
            (("b.dat", "--to", "oc-row"), "unknown format 'oc-row' (did you mean 'oc-rows'?); known are xyz"),
            (("b.xyz", "--option", "stage"), "--option stage has no value; write it as NAME=VALUE"),
            (("nowhere/b.xyz",), "folder 'nowhere' of the file to write does not exist"),
            (("b.xyz", "--format", "oc"), "graph 0 of a.lmdb is missing"),
        ],
    )
    def test_refused(self, shard, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(shard.parent)
        assert run("convert", shard, *arguments) == 1
        assert message in capsys.readouterr().err
        assert [path.name for path in shard.parent.iterdir() if path.suffix != ".index"] == ["a.lmdb"]


class TestData:
    def test_table(self, shard, capsys):
        assert run("data", shard) == 0
        assert capsys.readouterr().out.splitlines() == [
            "files       a.lmdb",
            "structures  6 of 2 trajectories, 0 periodic",
            "atoms       3 to 3, 3.0 on average",
            "elements    H O",
            "labels      energy 6, forces 6",
            "names       fixed in PubChemQCR: energy, gradient",
            "left out    nothing",
        ]

    def test_what_is_left_out(self, tmp_path, capsys):
        write_raw(tmp_path / "a.lmdb", {1: {"DFT_1st": [raw_step(), None, raw_step()]}, 2: {}})
        assert run("data", tmp_path / "a.lmdb") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-3:] == ["left out    ", "  1 x step without coordinates", "  1 x trajectory without DFT_1st"]

    def test_json_of_several_files(self, shard, tmp_path, capsys):
        write_oc_rows(tmp_path / "b.aselmdb", SLABS)
        assert run("data", shard, tmp_path / "b.aselmdb", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["structures"], found["trajectories"], found["periodic"]) == (10, 4, 4)
        assert found["elements"] == ["H", "O", "Cu"]
        assert found["labels"] == {"energy": 10, "forces": 10, "stress": 0, "fixed": 4, "tags": 4}


class TestIndex:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_shards_of_a_folder(self, shard, capsys, workers):
        write_raw(shard.with_name("b.lmdb"), {1: {"DFT_1st": [raw_step(), None]}, 2: {"DFT_1st": None}})
        assert run("index", shard.parent, "--workers", workers) == 0
        assert capsys.readouterr().out.splitlines() == [
            "a.lmdb, DFT_1st: 6 snapshots of 2 molecules",
            "b.lmdb, DFT_1st: 1 snapshots of 1 molecules",
            "  left out: 1 x step without coordinates",
            "  left out: 1 x trajectory without DFT_1st",
        ]
        assert (shard.parent / "b.lmdb.index" / "DFT_1st" / "index.json").is_file()

    def test_another_folder(self, shard, tmp_path):
        assert run("index", shard, "--index-folder", tmp_path / "other", "--stage", "mixing") == 0
        assert sorted(path.name for path in (tmp_path / "other" / "a.lmdb.index").iterdir()) == [
            "DFT_1st",
            "DFT_2nd",
            "lock",
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("a.lmdb", "--stage", "first"), "stage is 'first'"),
            (("a.lmdb", "--workers", "0"), "the number of workers is 0; give at least 1"),
            (("nothing.lmdb",), "data file 'nothing.lmdb' does not exist; correct the path"),
        ],
    )
    def test_refused(self, capsys, arguments, message):
        assert run("index", *arguments) == 1
        assert message in capsys.readouterr().err
