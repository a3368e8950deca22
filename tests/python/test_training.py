"""Training runs on a few tiny structures: exact resume, folders that are refused, what a run leaves."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from ase import Atoms
from tiny import changed, crystals, history, isolated, settings, start, write

import tdn
from tdn.checkpoints import KEY, load_model, read_checkpoint, training_summary
from tdn.config.run import config_from_dict, load_config
from tdn.data import graph_from_atoms, graph_from_structure, open_source
from tdn.errors import TDNError
from tdn.evaluation.evaluate import evaluate
from tdn.training.module import TrainingModule
from tdn.training.run_folder import RUN_FILES

FREE = {"elapsed_s"}


def assert_same(first, second, where="checkpoint"):
    """Bitwise equality of nested plain types and tensors; times may differ."""
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert set(first) == set(second), where
        for name in set(first) - FREE:
            assert_same(first[name], second[name], f"{where}.{name}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Path:
    """Folder of an uninterrupted run of four epochs, with its training file."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "train.xyz", [*crystals(8), isolated("Cu"), isolated("Au")])
    start(folder, settings())
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """Folder with a training file and no run."""
    write(tmp_path / "train.xyz", crystals(6))
    return tmp_path


@pytest.fixture(autouse=True)
def no_plots(whole_run, monkeypatch):
    """Plots take most of the time of so short a run; the whole run makes them once."""
    for name in ("plot_learning_curve", "plot_parity"):
        monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)


class TestResume:
    def test_two_epochs_and_two_resumed_are_four(self, whole_run, tmp_path):
        write(tmp_path / "train.xyz", [*crystals(8), isolated("Cu"), isolated("Au")])
        start(tmp_path, settings(), stop_after=2)
        assert [row["epoch"] for row in history(tmp_path)] == [1, 2]
        torch.manual_seed(123)
        start(tmp_path, settings(), resume=True)
        for name in ("last.ckpt", "best.ckpt"):
            whole, resumed = (read_checkpoint(path / "run" / name) for path in (whole_run, tmp_path))
            for part in ("state_dict", "optimizer_states", KEY, "run"):
                assert_same(whole[part], resumed[part], part)

    @pytest.mark.parametrize(
        ("stop", "told"), [(7, "step 6 is saved; continue with --resume"), (2, "no step is saved")]
    )
    def test_interrupted_in_the_middle_of_an_epoch(self, whole_run, tmp_path, monkeypatch, stop, told):
        """The steps of the unfinished epoch are repeated, so that the result is that of the whole run."""
        original = TrainingModule.training_step

        steps = iter(range(stop + 1))

        def interrupted(module, share):
            if next(steps) == stop:
                raise KeyboardInterrupt
            return original(module, share)

        write(tmp_path / "train.xyz", [*crystals(8), isolated("Cu"), isolated("Au")])
        with monkeypatch.context() as patch, pytest.raises(TDNError, match=f"training was stopped; .*{told}"):
            patch.setattr(TrainingModule, "training_step", interrupted)
            start(tmp_path, settings())
        start(tmp_path, settings(), resume=stop > 3, overwrite=stop <= 3)
        assert history(tmp_path) == history(whole_run)
        whole, resumed = (load_model(path / "run" / "last.ckpt").state_dict() for path in (whole_run, tmp_path))
        assert_same(whole, resumed)

    def test_log_holds_every_epoch_once(self, whole_run):
        rows = list(csv.DictReader((whole_run / "run" / "metrics.csv").read_text().splitlines()))
        assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
        assert [int(row["step"]) for row in rows] == [3, 6, 9, 12]

    def test_changed_option_is_refused(self, whole_run):
        with pytest.raises(
            TDNError, match=r"training\.learning_rate is 0\.02 but the run to resume has 0\.01; restore"
        ):
            start(whole_run, settings(learning_rate=0.02), resume=True)
        with pytest.raises(TDNError, match=r"model\.n_layers is 2 but the run to resume has 1"):
            start(whole_run, changed(settings(), "model", n_layers=2), resume=True)

    @pytest.mark.parametrize(
        ("frames", "told"),
        [
            (crystals(8), "number of training structures was 4 and is 6"),
            (crystals(6, seed=1), "energy scale"),
            (crystals(6, properties=("energy", "stress")), "energy scale"),
            ([*crystals(6), isolated("Cu"), isolated("Au")], "reference energy of Cu"),
        ],
        ids=["more", "others", "no forces", "other references"],
    )
    def test_changed_data_are_refused(self, folder, frames, told):
        start(folder, settings(max_epochs=1))
        write(folder / "train.xyz", frames)
        with pytest.raises(TDNError, match=f"data have changed since the run to resume began: the {told}"):
            start(folder, settings(max_epochs=2), resume=True)
        assert len(history(folder)) == 1

    def test_data_may_be_moved(self, folder):
        start(folder, settings(max_epochs=1))
        (folder / "train.xyz").rename(folder / "moved.xyz")
        (folder / "train.xyz").symlink_to(folder / "moved.xyz")
        start(folder, settings(max_epochs=2), resume=True)
        assert len(history(folder)) == 2

    def test_options_that_may_change(self, folder):
        start(folder, settings(max_epochs=1))
        lines = start(folder, settings(max_epochs=2, num_threads=1), resume=True)
        assert [row["epoch"] for row in history(folder)] == [1, 2]
        assert not any(line.startswith("epoch 1/") for line in lines)

    def test_tuples_of_a_python_configuration_are_lists_of_the_checkpoint(self, folder):
        content = changed(settings(max_epochs=1), "model", elements=("Cu", "Au"), radial_hidden=(8, 8))
        start(folder, content)
        start(folder, changed(content, "training", max_epochs=2), resume=True)
        assert len(history(folder)) == 2

    def test_a_run_from_before_an_option_is_what_it_was(self, folder):
        """Its checkpoint has no such option: today's default must neither load it nor go on with it."""
        content = changed(settings(max_epochs=1), "model", attention="softmax")
        start(folder, content)
        for name in ("best.ckpt", "last.ckpt"):
            stored = torch.load(folder / "run" / name)
            del stored[KEY]["model_config"]["attention"], stored[KEY]["training"]["config"]["model"]["attention"]
            torch.save(stored, folder / "run" / name)
        assert load_model(folder / "run" / "best.ckpt").config.attention == "softmax"
        with pytest.raises(TDNError, match=r"model\.attention is 'sigmoid' but the run to resume has 'softmax'; write"):
            start(folder, settings(max_epochs=2), resume=True)

    def test_nothing_to_resume(self, folder):
        with pytest.raises(TDNError, match=r"last\.ckpt' does not exist"):
            start(folder, settings(), resume=True)


class TestRunFolder:
    def test_a_run_leaves_its_files(self, whole_run):
        assert {path.name for path in (whole_run / "run").iterdir()} == set(RUN_FILES)

    def test_noted_configuration_makes_the_same_run(self, whole_run):
        noted = load_config(whole_run / "run" / "config.yaml")
        assert noted.to_dict() == config_from_dict(settings()).to_dict()

    def test_existing_run_is_refused_and_left_alone(self, whole_run):
        before = {path: path.read_bytes() for path in (whole_run / "run").iterdir()}
        with pytest.raises(
            TDNError, match="exists; continue with --resume, replace its files with --overwrite, or change"
        ):
            start(whole_run, settings())
        assert before == {path: path.read_bytes() for path in (whole_run / "run").iterdir()}

    def test_overwrite_replaces_the_run_and_keeps_other_files(self, folder):
        start(folder, settings(max_epochs=2))
        (folder / "run" / "notes.txt").write_text("mine")
        start(folder, settings(max_epochs=1), overwrite=True)
        assert len(history(folder)) == 1
        assert (folder / "run" / "notes.txt").read_text() == "mine"

    def test_overwrite_with_bad_data_keeps_the_old_run(self, folder):
        start(folder, settings(max_epochs=1))
        (folder / "train.xyz").write_text("broken\n")
        with pytest.raises(TDNError, match="'broken' is where the number of atoms should be"):
            start(folder, settings(max_epochs=1), overwrite=True)
        assert len(history(folder)) == 1

    def test_resume_and_overwrite_exclude_each_other(self, folder):
        with pytest.raises(TDNError, match="exclude each other"):
            start(folder, settings(), resume=True, overwrite=True)


class TestCheckpoint:
    def test_loaded_model_predicts_what_was_validated(self, whole_run):
        summary = training_summary(whole_run / "run" / "best.ckpt")
        model = tdn.load(whole_run / "run" / "best.ckpt")
        assert model.elements == ("Cu", "Au")
        assert model.dtype == torch.float64
        source = open_source(str(whole_run / "train.xyz"))
        order = torch.randperm(8, generator=torch.Generator().manual_seed(0)).tolist()
        valid = [graph_from_structure(source[index], model.elements, model.cutoff) for index in sorted(order[:2])]
        errors = evaluate(model, valid).errors
        validated = summary["errors"]["valid"]
        assert {name: errors[name] for name in validated} == pytest.approx(validated, rel=1e-9)

    def test_summary_tells_the_training(self, whole_run):
        summary = training_summary(whole_run / "run" / "last.ckpt")
        assert (summary["n_train"], summary["n_valid"], summary["epoch"], summary["steps"]) == (6, 2, 4, 12)
        assert summary["references_from"] == "isolated atoms"
        assert summary["files"]["train"] == ["train.xyz"]
        assert 2.0 < summary["min_distance"] < 2.7

    def test_isolated_atom_has_its_reference_energy(self, whole_run):
        model = load_model(whole_run / "run" / "best.ckpt")
        energy = model(graph_from_atoms(Atoms("Au"), model.elements, model.cutoff)).energy
        assert energy.item() == pytest.approx(isolated("Au").get_potential_energy(), abs=1e-12)

    def test_float32(self, folder):
        start(folder, settings(max_epochs=1, dtype="float32"))
        assert load_model(folder / "run" / "best.ckpt").dtype == torch.float32

    def test_without_average_of_the_weights(self, folder):
        start(folder, settings(max_epochs=1, ema_decay=0.0, clip=0.0))
        content = read_checkpoint(folder / "run" / "last.ckpt")
        stored = content[KEY]["model_state"]["network.head_out.weight"]
        assert torch.equal(stored, content["state_dict"]["model.network.head_out.weight"])

    def test_not_a_checkpoint(self, tmp_path):
        torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
        message = r"other\.ckpt' is not a checkpoint of tdn: it has no entry 'tdn'; give .* with tdn import-airs"
        with pytest.raises(TDNError, match=message):
            load_model(tmp_path / "other.ckpt")

    def test_damaged_entry(self, whole_run, tmp_path):
        content = read_checkpoint(whole_run / "run" / "last.ckpt")
        state = content[KEY]["model_state"]
        for damaged, message in (
            (None, "lacks format_version, model_config, model_state, training; give"),
            ({k: v for k, v in content[KEY].items() if k != "model_config"}, "lacks model_config; give"),
            (content[KEY] | {"model_state": {}}, r"do not fit its configuration \('network\.head_out\.weight'\); give"),
            (
                content[KEY] | {"model_state": {k: v for k, v in state.items() if "layers.0.attention.out" not in k}},
                "do not fit its configuration .*; give another checkpoint",
            ),
        ):
            torch.save({KEY: damaged}, tmp_path / "damaged.ckpt")
            with pytest.raises(TDNError, match=message) as problem:
                load_model(tmp_path / "damaged.ckpt")
            assert "\n" not in str(problem.value)

    def test_truncated(self, whole_run, tmp_path):
        content = (whole_run / "run" / "last.ckpt").read_bytes()
        (tmp_path / "half.ckpt").write_bytes(content[: len(content) // 2])
        with pytest.raises(TDNError, match=r"half\.ckpt' cannot be read as a checkpoint .*; give a best"):
            load_model(tmp_path / "half.ckpt")

    def test_newer_format(self, whole_run, tmp_path):
        content = read_checkpoint(whole_run / "run" / "last.ckpt")
        content[KEY]["format_version"] = 99
        torch.save(content, tmp_path / "new.ckpt")
        with pytest.raises(TDNError, match="has format version 99 and this tdn reads up to 1; update tdn"):
            load_model(tmp_path / "new.ckpt")
