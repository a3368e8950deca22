"""SchNet and PaiNN through the trainer, and the choice among architectures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structures
import torch
from baselines import SMALL, need, random_baseline
from models import graph_of
from tiny import changed, crystals, history, isolated, settings, start, write

import tdn
from tdn.ase import TDNCalculator
from tdn.checkpoints import KEY, load_model, read_checkpoint
from tdn.cli import main
from tdn.config.architectures import config_to_dict, stored_config, with_architecture
from tdn.config.run import config_from_dict as train_config
from tdn.config.run import load_config
from tdn.errors import TDNError
from tdn.model import ModelConfig


@pytest.fixture(params=list(SMALL), scope="module")
def architecture(request) -> str:
    """Name of a baseline; SchNet needs its library."""
    return need(request.param)


#: Training options of the whole run; a weight that is given makes one loss for all epochs.
WHOLE = {"max_epochs": 8, "energy_weight": 20.0}


def content(architecture: str, **training: Any) -> dict[str, Any]:
    """Configuration of a short run of a small baseline."""
    model = {"architecture": architecture, "cutoff": 3.5, **SMALL[architecture], "n_layers": 1}
    return settings(**training) | {"model": model}


@pytest.fixture(scope="module", autouse=True)
def no_plots():
    """They take most of the time of so short a run and are the same for every architecture."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plot_learning_curve", "plot_parity"):
            patch.setattr(f"tdn.training.run.{name}", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def run(architecture, tmp_path_factory) -> Path:
    """Folder with data and a finished run."""
    folder = tmp_path_factory.mktemp(architecture)
    write(folder / "train.xyz", [*crystals(8), isolated("Cu"), isolated("Au")])
    start(folder, content(architecture, **WHOLE))
    return folder


class TestTraining:
    def test_loss_falls_and_the_checkpoint_predicts(self, run, architecture):
        rows = history(run)
        assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
        packed = read_checkpoint(run / "run" / "best.ckpt")[KEY]
        assert packed["model_config"]["architecture"] == architecture
        model, again = (tdn.load(run / "run" / "best.ckpt") for _ in range(2))
        atoms = crystals(1, seed=5)[0]
        first, second = (each(graph_of(each, atoms)) for each in (model, again))
        assert torch.equal(first.energy, second.energy) and torch.equal(first.forces, second.forces)
        for name, value in packed["model_state"].items():
            assert torch.equal(model.state_dict()[name], value), name

    def test_float32_model_does_not_depend_on_the_default_dtype(self, architecture):
        model = random_baseline(architecture, ("Si",)).in_dtype(torch.float32)
        atoms = structures.small_cell()
        graph = graph_of(model, atoms)
        before = model(graph).energy
        try:
            torch.set_default_dtype(torch.float64)
            again = type(model).from_state(model.config, model.state_dict())
        finally:
            torch.set_default_dtype(torch.float32)
        assert again.dtype == torch.float32
        assert torch.equal(again(graph).energy, before)

    def test_resumed_run_is_the_whole_run(self, run, architecture, tmp_path):
        write(tmp_path / "train.xyz", [*crystals(8), isolated("Cu"), isolated("Au")])
        start(tmp_path, content(architecture, **WHOLE), stop_after=2)
        start(tmp_path, content(architecture, **WHOLE), resume=True)
        assert history(tmp_path) == history(run)

    def test_fine_tuning_goes_on_from_the_weights(self, run, architecture, tmp_path):
        """The architecture is the checkpoint's; rows of element tables are found by element."""
        write(tmp_path / "train.xyz", crystals(6))
        start_from = {"init_from": str(run / "run" / "best.ckpt"), "learning_rate": 1e-12, "max_epochs": 1}
        mine = settings(**start_from, ema_decay=0.0) | {"model": {"elements": ["Ag", "Au", "Cu"]}}
        start(tmp_path, mine)
        old, new = (load_model(folder / "run" / "best.ckpt") for folder in (run, tmp_path))
        assert new.config.architecture == architecture and old.elements == ("Cu", "Au")
        assert new.elements == ("Cu", "Au", "Ag")
        atoms = crystals(1, seed=5)[0]
        expected, found = (model(graph_of(model, atoms)).forces for model in (old, new))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        other = changed(mine, "model", architecture="tdn") | {"run_dir": "other"}
        with pytest.raises(TDNError, match=rf"best\.ckpt, a model of the architecture {architecture}, but .* tdn; "):
            start(tmp_path, other)

    def test_evaluate_and_calculator(self, run, capsys):
        checkpoint = run / "run" / "best.ckpt"
        assert main(["evaluate", str(checkpoint), str(run / "train.xyz"), "--json"]) == 0
        errors = json.loads(capsys.readouterr().out)
        assert errors["n_structures"] == 10 and errors["force_rmse"] > 0
        atoms = crystals(1, seed=5)[0]
        model = load_model(checkpoint)
        result = model(graph_of(model, atoms), stress=True)
        atoms.calc = TDNCalculator(checkpoint)
        assert atoms.get_potential_energy() == pytest.approx(result.energy.item(), rel=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), result.forces.numpy(), atol=1e-12)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), result.stress[0].numpy(), atol=1e-12)

    def test_deploy_refuses(self, run, architecture, tmp_path, capsys):
        assert main(["deploy", str(run / "run" / "best.ckpt"), "-o", str(tmp_path / "a.tdn.pt")]) == 1
        told = capsys.readouterr().err
        assert f"is of the architecture {architecture}, which has no archive" in told
        assert not list(tmp_path.iterdir())


class TestChoice:
    def test_a_checkpoint_without_the_name_is_a_tdn(self):
        config = stored_config({"elements": ["H"], "l_max": 2})
        assert isinstance(config, ModelConfig) and config.l_max == 2

    @pytest.mark.parametrize("name", ["tdn", "painn"])
    def test_settings_come_back(self, name):
        config = stored_config({"architecture": name, "elements": ["H", "O"], "n_layers": 5})
        assert stored_config(json.loads(json.dumps(config_to_dict(config)))) == config

    def test_defaults_are_those_of_table_6(self, architecture):
        config = stored_config({"architecture": architecture, "elements": ["H"]})
        assert (config.n_layers, config.n_channels) == (4, 128)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (
                {"architecture": "pain"},
                r"model\.architecture is 'pain' \(did you mean 'painn'\?\); use one of tdn",
            ),
            ({"architecture": 3}, r"model\.architecture is 3; use one of tdn, schnet, painn"),
            ({"architecture": "painn", "l_max": 1}, r"unknown option 'l_max' in model"),
            ({"architecture": "painn", "n_channels": 1}, "n_channels is 1; give a whole number of at least 2"),
            ({"architecture": "painn", "n_radial": 0}, "n_radial is 0; give a whole number of at least 1"),
            ({"architecture": "painn", "cutoff": -1}, r"cutoff is -1; give a positive finite number"),
            ({"architecture": "painn", "elements": ["Xx"]}, r"elements holds \['Xx'\]"),
        ],
    )
    def test_refused(self, model, message):
        with pytest.raises(TDNError, match=message):
            train_config(settings() | {"model": model})

    def test_schnet_refuses_the_heaviest_elements(self):
        need("schnet")
        with pytest.raises(TDNError, match="elements holds Fm, but schnet knows elements up to atomic number 99; use"):
            stored_config({"architecture": "schnet", "elements": ["Fm"]})

    def test_missing_library(self, monkeypatch):
        for name in [name for name in sys.modules if name.startswith("torch_geometric.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "torch_geometric", None)
        with pytest.raises(TDNError, match=r"'schnet', which needs torch_geometric, .*; install it with 'pip install"):
            train_config(settings() | {"model": {"architecture": "schnet"}})

    def test_one_flag(self, tmp_path):
        """Elements and cutoff are kept, the results go elsewhere, and the way back gives a TDN again."""
        mine = settings()
        mine["model"]["elements"] = ["Cu", "Au"]
        (tmp_path / "train.yaml").write_text(json.dumps(mine))  # JSON is YAML
        changed = load_config(tmp_path / "train.yaml", architecture="painn")
        assert changed.model == {"architecture": "painn", "cutoff": 3.5, "elements": ["Cu", "Au"]}
        assert changed.run_dir == "run-painn"
        assert changed.data == load_config(tmp_path / "train.yaml").data
        assert load_config(tmp_path / "train.yaml", architecture="tdn").to_dict() == train_config(mine).to_dict()
        back = with_architecture({"run_dir": "x", "model": {"architecture": "painn"}}, "tdn")
        assert back == {"run_dir": "x-tdn", "model": {"architecture": "tdn", "cutoff": 4.5}}

    def test_the_command_has_the_flag(self, tmp_path, capsys):
        (tmp_path / "train.yaml").write_text(json.dumps(settings()))
        assert main(["train", str(tmp_path / "train.yaml"), "--architecture", "painn"]) == 1
        assert "train.xyz' does not exist" in capsys.readouterr().err
        assert not (tmp_path / "run-painn").exists()
