"""The command ``tdn evaluate``: JSON, CSV, every format of data, mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from ase import Atoms
from evaluation_reference import ELEMENTS, Reference, frames, small_model
from models import random_model
from molecules import crystal, molecule
from tiny import write

from tdn.checkpoints import save_model
from tdn.cli import main
from tdn.data.formats.oc_write import CatalystEntry, write_oc_rows
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.model import TDN


@pytest.fixture(scope="module")
def model() -> TDN:
    return small_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    save_model(model, folder / "a.ckpt", {})
    write(folder / "data.xyz", frames())
    return folder


@pytest.fixture(scope="module")
def reference(model) -> Reference:
    return Reference(model, frames())


class TestCommand:
    def run(self, capsys, *arguments) -> str:
        assert main(["evaluate", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    def test_json_has_everything(self, folder, capsys, reference):
        found = json.loads(self.run(capsys, folder / "a.ckpt", folder / "data.xyz", "--json"))
        # the file has eight digits of every label
        assert {name: found[name] for name in reference.errors()} == pytest.approx(reference.errors(), rel=1e-4)
        assert (found["files"], found["left_out"], found["n_structures"]) == (["data.xyz"], {}, 6)
        assert [row["group"] for row in found["force_by_element"]] == list(ELEMENTS)
        assert sum(row["atoms"] for row in found["force_by_magnitude"]) == 22

    def test_csv_has_a_row_for_each_structure(self, folder, tmp_path, capsys, reference):
        self.run(capsys, folder / "a.ckpt", folder / "data.xyz", folder / "data.xyz", "--csv", tmp_path / "rows.csv")
        rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
        assert [row["name"] for row in rows] == [f"structure {k} of data.xyz" for k in range(6)] * 2
        assert float(rows[2]["energy_error"]) == pytest.approx(1e3 * reference.total[2], rel=1e-4)
        assert rows[4]["force_rmse"] == "nan"

    def test_limit_and_format(self, folder, capsys):
        text = self.run(capsys, folder / "a.ckpt", folder / "data.xyz", "--limit", 2, "--format", "xyz")
        assert "2 structures (8 atoms) of data.xyz" in text

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--limit", "-1"), "the limit is -1 structures; give a positive number"),
            (("--format", "xzy"), "unknown data format 'xzy' (did you mean 'xyz'?)"),
            (("--option", "stage=1st"), "unknown option 'stage' of data 'data.xyz' in format xyz"),
            (("--csv", "none/rows.csv"), "folder 'none' of the file to write does not exist"),
            (("--device", "gpu"), "the device is 'gpu', which torch does not know; use 'cpu' or 'cuda'"),
        ],
    )
    def test_mistakes(self, folder, capsys, options, sentence):
        assert main(["evaluate", str(folder / "a.ckpt"), str(folder / "data.xyz"), *options]) == 1
        assert sentence in capsys.readouterr().err

    def test_unlabeled_data_are_refused(self, folder, tmp_path, capsys):
        bare = [Atoms("Cu2", [[0, 0, 0], [2.2, 0, 0]])]
        write(tmp_path / "bare.xyz", bare)
        assert main(["evaluate", str(folder / "a.ckpt"), str(tmp_path / "bare.xyz")]) == 1
        assert "structure 0 of bare.xyz: the structure has neither energy nor forces" in capsys.readouterr().err


class TestFormats:
    """The shards of large data sets, straight from the command line."""

    def evaluated(self, capsys, *arguments) -> dict:
        assert main(["evaluate", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def test_pubchemqcr(self, tmp_path, capsys):
        save_model(random_model(("H", "O"), n_channels=8, n_layers=1), tmp_path / "a.ckpt", {})
        trajectories = [(k, {"DFT_1st": [molecule(10 * k + step) for step in range(3)]}) for k in range(1, 11)]
        write_pubchemqcr(tmp_path / "a.lmdb", trajectories)
        options = ("--format", "pubchemqcr", "--option", "stage=1st")
        found = self.evaluated(capsys, tmp_path / "a.ckpt", tmp_path / "a.lmdb", *options)
        assert (found["n_structures"], found["n_atoms"]) == (30, 90)
        assert [(row["group"], row["atoms"]) for row in found["force_by_element"]] == [("H", 60), ("O", 30)]
        options += ("--option", "split=test", "--option", "steps=last")
        part = self.evaluated(capsys, tmp_path / "a.ckpt", tmp_path / "a.lmdb", *options)
        assert part["n_structures"] == 2  # a fifth of the trajectories
        assert part["force_rmse"] != found["force_rmse"]

    def test_held_atoms_of_slabs_are_not_counted(self, tmp_path, capsys):
        save_model(random_model(("O", "Cu"), n_channels=8, n_layers=1), tmp_path / "a.ckpt", {})
        write_oc_rows(tmp_path / "a.aselmdb", [CatalystEntry(crystal(seed), seed, 0) for seed in range(3)])
        found = self.evaluated(capsys, tmp_path / "a.ckpt", tmp_path / "a.aselmdb", "--option", "task=s2ef")
        # of three copper atoms one is held
        assert [(row["group"], row["atoms"]) for row in found["force_by_element"]] == [("O", 3), ("Cu", 6)]
