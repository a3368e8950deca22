"""The index of a PubChemQCR shard: made once, resumed, renewed, shared; and the writer of shards."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from molecules import assert_same, energies, entry, molecule, steps, three_molecules, write_raw

from tdn.data.formats import pubchemqcr_build
from tdn.data.formats.lmdb_file import write_lmdb
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.source import open_source
from tdn.errors import TDNError


@pytest.fixture
def shard(tmp_path):
    return write_raw(tmp_path / "Data06.lmdb", three_molecules())


class TestIndex:
    def built(self, monkeypatch):
        """Counts the entries that are read."""
        seen = []
        original = pubchemqcr_build.read_entry
        monkeypatch.setattr(pubchemqcr_build, "read_entry", lambda *a: seen.append(a[1]) or original(*a))
        return seen

    def test_is_made_once(self, shard, monkeypatch):
        seen = self.built(monkeypatch)
        for _ in range(2):
            open_source(shard)
            assert len(seen) == 3
        assert (shard.parent / "Data06.lmdb.index" / "DFT_1st" / "index.json").is_file()

    def test_stages_share_a_pass(self, shard, monkeypatch):
        seen = self.built(monkeypatch)
        open_source({"path": str(shard), "stage": "mixing"})
        assert len(seen) == 3

    def test_is_made_again_when_the_shard_changes(self, shard):
        open_source(shard)
        shard.unlink()
        write_raw(shard, {1: entry(DFT_1st=steps(12))})
        assert energies(open_source(shard)) == [12]

    def test_goes_on_after_an_interruption(self, shard, monkeypatch):
        expected = [
            structure.positions
            for structure in open_source({"path": str(shard), "index_folder": str(shard.parent / "other")})
        ]
        monkeypatch.setattr(pubchemqcr_build, "NOTE_EVERY", 1)
        original = pubchemqcr_build.read_entry

        def stopped(content, what):
            if "000000031" in what:
                raise KeyboardInterrupt
            return original(content, what)

        monkeypatch.setattr(pubchemqcr_build, "read_entry", stopped)
        with pytest.raises(KeyboardInterrupt):
            open_source(shard)
        part = shard.parent / "Data06.lmdb.index" / "DFT_1st.part"
        with open(part / "snapshots", "ab") as file:  # what was written after the last note
            file.write(b"incomplete")
        monkeypatch.setattr(pubchemqcr_build, "read_entry", original)
        seen = self.built(monkeypatch)
        source = open_source(shard)
        assert len(seen) == 1
        np.testing.assert_array_equal([structure.positions for structure in source], expected)
        assert source.left_out == {"trajectory without DFT_1st": 1}
        assert not part.exists()

    def test_begins_again_if_the_shard_changed_meanwhile(self, shard, monkeypatch):
        monkeypatch.setattr(pubchemqcr_build, "NOTE_EVERY", 1)
        monkeypatch.setattr(pubchemqcr_build.StageWriter, "finish", lambda self: None)
        with pytest.raises(TDNError, match="is damaged; delete this folder; it will be rebuilt"):
            open_source(shard)
        monkeypatch.undo()
        shard.unlink()
        write_raw(shard, {7: entry(DFT_1st=steps(13))})
        assert energies(open_source(shard)) == [13]

    def test_cut_off(self, shard):
        source = open_source(shard)
        snapshots = shard.parent / "Data06.lmdb.index" / "DFT_1st" / "snapshots"
        snapshots.write_bytes(snapshots.read_bytes()[:-8])
        with pytest.raises(TDNError, match="is shorter than it should be; delete this folder; it will be rebuilt"):
            source[4]

    def test_folder_that_cannot_be_written(self, shard, tmp_path, monkeypatch):
        cache = tmp_path / "cache"
        cache.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        monkeypatch.setattr("os.access", lambda path, mode: path == cache)
        open_source(shard)
        (made,) = (cache / "tdn").iterdir()
        assert made.name.endswith("-Data06.lmdb.index")
        assert not (tmp_path / "Data06.lmdb.index").exists()

    def test_finished_index_in_a_folder_that_cannot_be_written(self, shard, monkeypatch):
        open_source(shard)
        monkeypatch.setattr("os.access", lambda *_: False)
        seen = self.built(monkeypatch)
        assert len(open_source(shard)) == 5
        assert seen == []

    def test_no_folder_at_all(self, shard, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(TDNError, match=r"no index of '.*' can be written to .*; name a folder with enough space"):
            open_source({"path": str(shard), "index_folder": str(tmp_path / "file")})

    def test_pickles_without_data(self, shard):
        source = open_source(shard)
        assert source[0].energy < 0  # opens the files
        copy = pickle.loads(pickle.dumps(source))
        assert energies(copy) == energies(source)

    @pytest.mark.parametrize("context", ["fork", "spawn"])
    def test_in_worker_processes(self, shard, context):
        source = open_source(shard)
        assert source[0].energy < 0
        loader = torch.utils.data.DataLoader(
            source, batch_size=None, num_workers=1, multiprocessing_context=context, timeout=60, collate_fn=passed
        )
        assert energies(loader) == [4, 5, 6, 10, 11]


def passed(structure):
    return structure


class TestWriting:
    @pytest.mark.parametrize("smash", [False, True])
    def test_there_and_back(self, tmp_path, smash):
        path = tmp_path / "a.lmdb"
        relaxation = [molecule(seed) for seed in range(3)]
        assert write_pubchemqcr(path, [(5, {"DFT_1st": relaxation}), (999999999, {"hf": relaxation})], smash=smash) == 2
        source = open_source({"path": str(path), "stage": "1st_smash" if smash else "1st"})
        for one, other in zip(relaxation, source, strict=True):
            assert_same(one, other, rtol=2e-7)

    def test_more_than_the_first_map_holds(self, tmp_path):
        path = tmp_path / "a.lmdb"
        large = [molecule(seed, (6,) * 60) for seed in range(30)]
        write_pubchemqcr(path, ((cid, {"DFT_1st": large}) for cid in range(20)))
        assert path.stat().st_size > 2**20
        assert len(open_source(path)) == 600

    @pytest.mark.parametrize(
        ("cid", "stages", "message"),
        [
            (10**9, {}, "molecule number 1000000000 does not have 9 digits at most"),
            (1, {"dft": []}, "unknown stage 'dft' of molecule 1; known are pm3, hf, DFT_1st, DFT_2nd"),
        ],
    )
    def test_refused(self, tmp_path, cid, stages, message):
        with pytest.raises(TDNError, match=message):
            write_pubchemqcr(tmp_path / "a.lmdb", [(cid, stages)])
        assert not list(tmp_path.iterdir())

    def test_structures_that_do_not_fit(self, tmp_path):
        for changes, message in (
            ({"energy": None}, "molecule 0 has no energy or no forces, which PubChemQCR needs"),
            ({"pbc": np.ones(3, bool)}, "molecule 0 is periodic, which PubChemQCR cannot hold"),
        ):
            with pytest.raises(TDNError, match=message):
                write_pubchemqcr(tmp_path / "a.lmdb", [(1, {"hf": [replace(molecule(), **changes)]})])

    def test_existing_file(self, shard):
        with pytest.raises(TDNError, match="already exists"):
            write_pubchemqcr(shard, [])
        write_pubchemqcr(shard, [(1, {"DFT_1st": [molecule()]})], overwrite=True)
        assert len(open_source(shard)) == 1


def test_keys_of_neither_format(tmp_path):
    write_lmdb(tmp_path / "a.lmdb", [(b"molecule", b"")])
    with pytest.raises(
        TDNError, match=r"has keys such as b'molecule', which are neither those of PubChemQCR nor of OC20"
    ):
        open_source(tmp_path / "a.lmdb")
    with pytest.raises(TDNError, match="has the key b'molecule', which is not a number of PubChem"):
        open_source({"path": str(tmp_path / "a.lmdb"), "format": "pubchemqcr"})
    write_lmdb(tmp_path / "b.lmdb", [])
    with pytest.raises(TDNError, match="holds no entries; give a file with structures"):
        open_source(tmp_path / "b.lmdb")
