"""PubChemQCR shards: units, stages, choice of steps, splits, what is left out."""

from __future__ import annotations

import random

import numpy as np
import pytest
from molecules import BOHR, HARTREE, energies, entry, molecule, raw_step, steps, three_molecules, write_raw

from tdn.data.source import open_source
from tdn.errors import TDNError


@pytest.fixture
def shard(tmp_path):
    return write_raw(tmp_path / "Data06.lmdb", three_molecules())


class TestValues:
    def test_units_and_order(self, shard):
        structure = open_source({"path": str(shard), "stage": "hf"})[1]
        assert structure.name == "step 1 of hf of molecule 7 of Data06.lmdb"
        assert structure.numbers.tolist() == [8, 1, 1]
        assert not structure.pbc.any()
        assert structure.energy == pytest.approx(-79.0 * HARTREE, rel=1e-9)
        np.testing.assert_array_equal(structure.positions, [[3, 0, -0.25], [4, 0.5, -0.25], [5, 1, -0.25]])
        gradient = np.array([[0.01, 3, -0.02], [0.02, 3, -0.02], [0.03, 3, -0.02]])
        np.testing.assert_allclose(structure.forces, -gradient * HARTREE / BOHR, rtol=1e-7)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, [4, 5, 6, 10, 11]),
            ({"stage": "pm3"}, [1]),
            ({"stage": "hf"}, [2, 3, 9, 0.5]),
            ({"stage": "1st_smash"}, [10, 11]),
            ({"stage": "2nd"}, [7, 8]),
            ({"stage": "mixing"}, [4, 5, 6, 7, 8, 10, 11]),
            ({"steps": "last"}, [6, 11]),
            ({"stage": "mixing", "steps": "last"}, [8, 11]),
        ],
    )
    def test_stages_and_steps(self, shard, options, expected):
        assert energies(open_source({"path": str(shard), **options})) == expected

    def test_groups_are_molecules(self, shard):
        source = open_source({"path": str(shard), "stage": "mixing"})
        assert source.get_groups().tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert source.n_trajectories == 2
        assert source.elements() == ("H", "O")

    def test_folder_of_shards(self, shard):
        write_raw(shard.parent / "Data05.lmdb", {8: entry(DFT_1st=steps(20))})
        source = open_source(str(shard.parent))
        assert source.file_names == ["Data05.lmdb", "Data06.lmdb"]
        assert energies(source) == [20, 4, 5, 6, 10, 11]
        assert source.get_groups().tolist() == [0, 1, 1, 1, 2, 2]
        assert sum(source.left_out.values()) == 1


class TestSplit:
    @pytest.fixture
    def many(self, tmp_path):
        write_raw(tmp_path / "a.lmdb", {cid: entry(DFT_1st=steps(*[cid] * (1 + cid % 3))) for cid in range(10)})
        return tmp_path / "a.lmdb"

    @pytest.mark.parametrize(("ratios", "cuts"), [(None, (6, 8)), ((0.8, 0.1), (8, 9)), ((0.5, 0.2, 0.3), (5, 7))])
    def test_published(self, many, ratios, cuts):
        order = list(range(10))
        random.seed(42)
        random.shuffle(order)
        parts = {"train": order[: cuts[0]], "valid": order[cuts[0] : cuts[1]], "test": order[cuts[1] :]}
        for part, molecules in parts.items():
            source = open_source({"path": str(many), "split": part, **({"ratios": list(ratios)} if ratios else {})})
            assert energies(source) == [cid for cid in molecules for _ in range(1 + cid % 3)]

    def test_shares_of_several_shards(self, many):
        write_raw(many.parent / "b.lmdb", {cid: entry(DFT_1st=steps(0)) for cid in range(10)})
        assert open_source({"path": str(many.parent), "split": "train"}).n_trajectories == 16

    def test_options_change_the_fingerprint(self, many):
        options = ({}, {"split": "train"}, {"split": "valid"}, {"steps": "last"})
        assert len({open_source({"path": str(many), **option}).fingerprint() for option in options}) == 4

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"stage": "DFT"}, "stage is 'DFT'.*; known are pm3, hf, 1st, 1st_smash, 2nd, mixing"),
            ({"steps": "first"}, "steps is 'first'.*; known are all, last"),
            ({"split": "val"}, r"split is 'val' \(did you mean 'valid'\?\); known are train, valid, test"),
            ({"ratios": [0.9, 0.2]}, r"ratios is \[0.9, 0.2\]; give the shares for training and validation"),
            ({"stage": "2nd"}, "has no structure of stage 2nd .*10 x trajectory without DFT_2nd.*; choose another"),
        ],
    )
    def test_refused(self, many, option, message):
        with pytest.raises(TDNError, match=message):
            open_source({"path": str(many), **option})


class TestLeftOut:
    def altered(self, **changes):
        return {**raw_step(), **changes}

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"energy": None}, "step without energy"),
            ({"coordinates": []}, "step without coordinates"),
            ({"gradient": None}, "step without gradient"),
            ({"energy": float("nan")}, "step with a value that is not a finite number"),
            ({"energy": "text"}, "step in another form than described"),
            (
                {"coordinates": raw_step(0, ("O", "H"))["coordinates"]},
                "step with another number of atoms than the last one",
            ),
            (
                {"coordinates": raw_step(0, ("H", "O", "H"))["coordinates"]},
                "step with other elements than the last one",
            ),
            (
                {"gradient": raw_step(0, ("O", "H"))["gradient"]},
                "step whose gradient has other atoms than its coordinates",
            ),
            ({"coordinates": [{"atom": s} for s in "OHH"]}, "step in another form than described"),
            ({"coordinates": 3}, "step in another form than described"),
        ],
    )
    def test_steps(self, tmp_path, change, reason):
        path = write_raw(tmp_path / "a.lmdb", {1: entry(DFT_1st=[raw_step(1), self.altered(**change), raw_step(2)])})
        source = open_source(path)
        assert energies(source) == [1, 2]
        assert source.left_out == {reason: 1}

    def test_step_that_is_no_dictionary(self, tmp_path):
        source = open_source(write_raw(tmp_path / "a.lmdb", {1: entry(DFT_1st=[None, raw_step(2)])}))
        assert source.left_out == {"step without coordinates": 1}

    @pytest.mark.parametrize(
        ("stages", "reason"),
        [
            ({}, "trajectory without DFT_1st"),
            ({"DFT_1st": []}, "trajectory without DFT_1st"),
            ({"DFT_1st": steps(1, symbols=("Xx", "H"))}, "trajectory with the unknown element 'Xx'"),
            ({"DFT_1st": [{"energy": None}]}, "trajectory of DFT_1st without a step that has coordinates and energy"),
            ({"DFT_1st": [{**raw_step(), "gradient": None}]}, "trajectory of DFT_1st without a usable step"),
        ],
    )
    def test_trajectories(self, tmp_path, stages, reason):
        source = open_source(write_raw(tmp_path / "a.lmdb", {1: entry(**stages), 2: entry(DFT_1st=steps(3))}))
        assert energies(source) == [3]
        assert source.left_out[reason] == 1

    def test_not_calculated_by_smash(self, shard):
        source = open_source({"path": str(shard), "stage": "1st_smash"})
        assert source.left_out["trajectory of DFT_1st that SMASH did not calculate"] == 1

    def test_entry_that_cannot_be_unzipped(self, tmp_path):
        from tdn.data.formats.lmdb_file import write_lmdb
        from tdn.data.formats.pubchemqcr_write import entry as written

        whole = written(5, {"DFT_1st": [molecule()]})
        write_lmdb(tmp_path / "a.lmdb", [whole, (b"000000006", whole[1][:-20]), (b"000000007", b"text")])
        assert open_source(tmp_path / "a.lmdb").left_out == {"trajectory that cannot be unzipped": 2}

    def test_code_in_an_entry_is_refused(self, tmp_path):
        path = write_raw(tmp_path / "a.lmdb", {1: entry(DFT_1st=[print])})
        with pytest.raises(TDNError, match=r"^entry 000000001 of a\.lmdb is not unpickled: .*builtins\.print"):
            open_source(path)
        with pytest.raises(TDNError, match=r"^entry 000000001 of b\.lmdb is a list, not a dictionary of stages"):
            open_source(write_raw(tmp_path / "b.lmdb", {1: [1]}))
