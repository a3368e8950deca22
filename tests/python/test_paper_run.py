"""Runs in the paper setting: what they log, keep and leave out at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import random_model
from test_paper_training import batch, paper_model, without_dropout
from tiny import changed, crystals, history, settings, start, write

import tdn
from tdn.ase import predict
from tdn.checkpoints import load_model, read_checkpoint, training_summary
from tdn.config.run import config_from_dict
from tdn.config.training import TrainingConfig
from tdn.data import graph_from_atoms
from tdn.data.dataset import read_frames
from tdn.deployment import write_archive
from tdn.training.optimizer import build_optimizers

__all__ = ["batch"]


def run_settings(**training) -> dict:
    """A tiny run as published."""
    model = {"setting": "paper", "n_channels": 8, "n_layers": 1, "n_heads": 2, "n_radial": 8, "radial_hidden": [8, 8]}
    common = {"preset": "paper", "batch_size": 2, "max_epochs": 2, "dtype": "float64", "device": "cpu"}
    return settings() | {"model": model | {"cutoff": 3.5}, "training": common | training}


class TestDropout:
    def test_only_training_leaves_attention_out(self, batch):
        model = paper_model(attention_dropout=0.5)
        graph = batch(model)
        assert torch.equal(model(graph).energy, model(graph).energy)
        assert torch.equal(model(graph).energy, without_dropout(model)(graph).energy)
        model.train()
        torch.manual_seed(0)
        first, second = model(graph).energy, model(graph).energy
        assert not torch.allclose(first, second)
        torch.manual_seed(0)
        assert torch.equal(model(graph).energy, first)

    def test_published_value_is_the_default_of_the_setting(self):
        assert config_from_dict(run_settings()).model.get("attention_dropout") is None
        assert tdn.model.ModelConfig.paper(("H",)).attention_dropout == 0.2
        assert tdn.model.ModelConfig(("H",)).attention_dropout == 0.0


class TestRun:
    @pytest.fixture(autouse=True)
    def no_plots(self, monkeypatch):
        for name in ("plot_learning_curve", "plot_parity"):
            monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)

    def test_run_as_published(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(8))
        start(tmp_path, run_settings(max_epochs=4, learning_rate=0.01))
        rows = history(tmp_path)
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]
        assert "train_stress_rmse" not in rows[0]
        summary = training_summary(tmp_path / "run" / "best.ckpt")
        assert summary["config"]["training"]["force_loss"] == "rmse"
        model = tdn.load(tmp_path / "run" / "best.ckpt")
        assert model.energy_convention == "per_atom"
        assert model.config.attention_dropout == 0.2
        assert float(model.references.scale) == pytest.approx(model.config.avg_n_atoms**-0.5)

    def test_loss_is_made_of_the_papers_errors(self, tmp_path):
        """L1 of the energy per atom plus the mean of the structures' force errors."""
        write(tmp_path / "train.xyz", crystals(8))
        start(tmp_path, run_settings())
        for row in history(tmp_path):
            expected = row["valid_energy_mae"] + row["valid_force_structure_rmse"]
            assert 1e3 * row["valid_loss"] == pytest.approx(expected)

    def test_total_energies_include_the_references(self, tmp_path):
        """The model's energies stand above them; checkpoint and archive give what the data has."""
        write(tmp_path / "train.xyz", crystals(8))
        start(tmp_path, run_settings())
        best, archive = tmp_path / "run" / "best.ckpt", tmp_path / "model.tdn.pt"
        write_archive(load_model(best), archive, training=training_summary(best))
        frames = read_frames(tmp_path / "train.xyz")
        model = load_model(best)
        references = np.array(model.free_energies)
        assert len(references) == len(model.elements) and np.abs(references).max() > 0.1
        for loaded in (model, tdn.load(archive)):
            for atoms, found in zip(frames, predict(loaded, frames), strict=True):
                raw = loaded(graph_from_atoms(atoms, model.elements, model.cutoff)).energy.item()
                species = [model.elements.index(symbol) for symbol in atoms.symbols]
                expected = len(atoms) * raw + references[species].sum()
                assert found.get_potential_energy() == pytest.approx(expected, abs=1e-9)
                assert found.calc.results["energies"].sum() == pytest.approx(expected, abs=1e-9)

    def test_one_norm_for_both_heads(self, tmp_path):
        """As published; a norm of its own would be a weight more."""
        write(tmp_path / "train.xyz", crystals(6))
        start(tmp_path, run_settings(max_epochs=1))
        state = read_checkpoint(tmp_path / "run" / "last.ckpt")["tdn"]["model_state"]
        assert torch.equal(state["network.norm.weight"], state["network.force_head.norm.weight"])

    def test_gradient_forces(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(6))
        start(tmp_path, changed(run_settings(max_epochs=1), "model", forces="gradient"))
        assert tdn.load(tmp_path / "run" / "best.ckpt").force_kinds == ("gradient",)

    def test_direct_head_beside_gradient_forces_is_trained(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(6))
        start(tmp_path, changed(settings(max_epochs=20, learning_rate=0.03), "model", direct_forces=True))
        rows = history(tmp_path)
        assert rows[-1]["valid_direct_force_rmse"] < rows[0]["valid_direct_force_rmse"]
        assert rows[-1]["valid_force_rmse"] < rows[0]["valid_force_rmse"]
        assert tdn.load(tmp_path / "run" / "best.ckpt").force_kinds == ("gradient", "direct")


def test_weight_decay_spares_biases_norms_and_tables():
    model = paper_model()
    optimizer = build_optimizers(model, TrainingConfig(optimizer="adamw", weight_decay=0.1))[0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(names)
    spared = {name for name, value in decay.items() if value == 0.0}
    assert {"network.embedding.elements", "network.norm.weight", "network.head_out.bias"} <= spared
    assert decay["network.layers.0.attention.logits.weight"] == decay["network.head_out.weight"] == 0.1


def test_only_the_source_vector_has_a_rate_of_its_own():
    """It stands for a matrix and a bias of the published code; see ``optimizer.rate_of``."""
    groups = build_optimizers(paper_model(), TrainingConfig(learning_rate=0.5))[0].param_groups
    assert sorted(group["scale"] for group in groups) == [1.0, 9.0]
    assert [len(group["params"]) for group in groups if group["scale"] == 9.0] == [1]
    md = build_optimizers(random_model(("H",)), TrainingConfig(learning_rate=0.5))[0].param_groups
    assert [(group["scale"], group["lr"]) for group in md] == [(1.0, 0.5)]
