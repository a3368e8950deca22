"""Configurations of a training run: every mistake is answered with one sentence that names the option."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch
import yaml
from tiny import changed, crystals, settings, start, write

from tdn.config import architectures
from tdn.config.baselines import PaiNNConfig
from tdn.config.data import DataConfig
from tdn.config.option import alternatives, choices_of, option_names, option_of
from tdn.config.presets import MODELS
from tdn.config.run import config_from_dict, load_config, model_settings
from tdn.config.training import TrainingConfig
from tdn.errors import TDNError
from tdn.model import ModelConfig


@pytest.fixture
def folder(tmp_path) -> Path:
    """Folder with a training file and no run."""
    write(tmp_path / "train.xyz", crystals(6))
    return tmp_path


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("model", {"lmx": 2}, r"^unknown option 'lmx' in model \(did you mean 'l_max'\?\)"),
        (
            "model",
            {"preset": "md-mdium"},
            r"model\.preset is 'md-mdium' \(did you mean 'md-medium'\?\); use one of",
        ),
        (
            "model",
            {"preset": "md-large", "setting": "paper"},
            r"belongs to the setting md but model.setting is 'paper'",
        ),
        ("training", {"bach_size": 2}, r"^unknown option 'bach_size' in training \(did you mean 'batch_size'\?\)"),
        ("data", {"vald": 0.1}, r"^unknown option 'vald' in data \(did you mean 'valid'\?\)"),
        (
            "data",
            {"qqqqqq": 1},
            r"^unknown option 'qqqqqq' in data; known options: cache, energy_key, forces_key, memory, references,",
        ),
        (
            "training",
            {"batch_size": "four"},
            r"^training\.batch_size is 'four'; give a whole number of at least 1",
        ),
        ("training", {"batch_size": 2.5}, r"training\.batch_size is 2\.5; give a whole number of at least 1"),
        ("training", {"batch_size": 0}, r"training\.batch_size is 0; give a whole number of at least 1"),
        ("training", {"max_time": 0}, r"training\.max_time is 0; give minutes or null for no limit"),
        ("training", {"learning_rate": "fast"}, r"training\.learning_rate is 'fast'; give a positive number"),
        ("training", {"ema_decay": 1.0}, r"training\.ema_decay is 1\.0; give a number from 0"),
        ("training", {"dtype": "half"}, r"training\.dtype is 'half'; use float32 or float64 or tf32 or bf16"),
        ("training", {"device": "gpu"}, r"training\.device is 'gpu'; use auto or cpu or cuda"),
        ("training", {"num_threads": -1}, r"training\.num_threads is -1; give a whole number that is not negative"),
        ("training", {"force_weight": -1}, r"training\.force_weight is -1; give a number that is not negative"),
        ("training", {"stress_weight": "nan"}, r"training\.stress_weight is nan; give"),
        ("training", {"warmup": 1.0}, r"training\.warmup is 1\.0; give a fraction of the run from 0 to below 1"),
        ("data", {"train": [1]}, r"data\.train lists 1, which is not a file name; give paths"),
        ("data", {"valid": ["a.xyz", None]}, r"data\.valid lists None, which is not a file name; give paths"),
        ("model", {"radial_hidden": [8, 2.5]}, r"radial_hidden is \(8, 2\.5\); give two whole numbers"),
        ("model", {"radial_hidden": [8, 0]}, r"radial_hidden is \(8, 0\); give two whole numbers"),
        ("model", {"cp_rank": 0}, "cp_rank is 0; give a whole number of at least 1 or null"),
        ("model", {"cutoff": float("inf")}, "cutoff is inf; give a positive finite number"),
        (
            "model",
            {"l_max": 0, "direct_forces": True, "forces": "direct"},
            "l_max is 0 but direct_forces needs vectors; set l_max: 1 or direct_forces: false",
        ),
        ("data", {"valid": 1.5}, r"data\.valid is 1\.5; give files or a fraction between 0 and 1"),
        ("data", {"sample": 0}, r"data\.sample is 0; give a positive number of structures"),
        ("data", {"memory": -1}, r"data\.memory is -1; give a number of GB that is not negative"),
        ("training", {"max_edges": 0}, r"training\.max_edges is 0; give a positive number or null"),
        ("training", {"optimizer": "sgd"}, r"training\.optimizer is 'sgd'; use adam or adamw or muon"),
        ("training", {"schedule": "step"}, r"training\.schedule is 'step'; use cosine or plateau or constant or wsd"),
        ("training", {"energy_loss": "rmse"}, r"training\.energy_loss is 'rmse'; use mse or mae or huber"),
        ("training", {"force_loss": "l2"}, r"training\.force_loss is 'l2'; use mse or mae or huber or rmse or norm"),
        ("training", {"huber_delta": 0}, r"training\.huber_delta is 0; give a positive number"),
        ("training", {"plateau_factor": 1}, r"training\.plateau_factor is 1; give a number between 0 and 1"),
        ("training", {"preset": "pap"}, r"training\.preset is 'pap'; use paper, or null"),
        ("training", {"best_by": "mae"}, r"training\.best_by is 'mae'; use loss or energy_mae"),
        ("training", {"init_references": "all"}, r"training\.init_references is 'all'; use data or keep"),
        ("training", {"second_stage": {}}, r"second_stage\.start is None; give the fraction"),
        ("training", {"second_stage": {"start": 1.5}}, r"second_stage\.start is 1\.5; give the fraction"),
        ("training", {"second_stage": {"start": 0.5, "lr": 1}}, r"second_stage has an option 'lr'; known are start,"),
        (
            "training",
            {"second_stage": {"start": 0.5, "force_weight": -1}},
            r"second_stage\.force_weight is -1; give a number that is not negative",
        ),
        ("model", {"attention_dropout": 1.0}, r"attention_dropout is 1\.0; give a fraction from 0 to below 1"),
        ("data", {"references": "mean"}, r"data\.references is 'mean'; use auto, least_squares or"),
    ],
)
def test_refused(section, options, message):
    with pytest.raises(TDNError, match=message):
        config_from_dict(changed(settings(), section, **options))


@pytest.mark.parametrize(
    ("options", "weight", "stage"),
    [
        ({}, 1.0, {"start": 0.75, "energy_weight": 20.0}),
        ({"energy_weight": 40.0}, 40.0, None),
        ({"energy_weight": 1.0}, 1.0, None),
        ({"second_stage": {"start": 0.5, "force_weight": 2.0}}, 1.0, {"start": 0.5, "force_weight": 2.0}),
        ({"preset": "paper"}, 1.0, None),
    ],
)
def test_energy_weights(options, weight, stage):
    """Without a weight of the energy it is small at first and larger at the end; a weight that is given stays."""
    training = config_from_dict(changed(settings(), "training", **options)).training
    assert training.energy_weight == weight
    assert training.second_stage == stage
    assert replace(training) == training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l_max": 9}, "l_max is 9; degrees up to 4"),
        ({"l_max": "one"}, r"model\.l_max is 'one'; degrees up to 4"),
        ({"n_heads": 3}, "n_heads = 3 does not divide n_channels = 8"),
        ({"elements": ["Cu", "Xx"]}, r"elements holds \['Xx'\]"),
        ({"elements": ["Cu"]}, r"structure 0 of train\.xyz: element Au is not in the model"),
    ],
)
def test_refused_by_the_model(folder, options, message):
    with pytest.raises(TDNError, match=message):
        start(folder, changed(settings(), "model", **options))
    assert not (folder / "run").exists()


@pytest.mark.parametrize("kind", [ModelConfig, PaiNNConfig, DataConfig, TrainingConfig])
class TestEverySection:
    """Of each option: a value of a wrong type, out of its limits or none of its choices is one sentence with a cure."""

    @pytest.fixture
    def given(self, kind):
        if kind is DataConfig:
            return {"train": "a"}
        return {"elements": ("H",)} if "elements" in option_names(kind) else {}

    def test_wrong_types(self, kind, given):
        for name in option_names(kind):
            with pytest.raises(TDNError) as problem:
                kind(**given | {name: object})
            assert re.fullmatch(rf"{kind.section}\.{name} is <class 'object'>; \w.+", str(problem.value))

    def test_true_is_no_number(self, kind, given):
        for name in option_names(kind):
            if bool not in alternatives(option_of(kind, name)):
                with pytest.raises(TDNError, match=rf"{kind.section}\.{name} is True; "):
                    kind(**given | {name: True})

    def test_choices(self, kind, given):
        for name in option_names(kind):
            for choice in choices_of(option_of(kind, name)):
                with pytest.raises(TDNError, match=rf"{name} is '{choice}x'; use .*{choice}"):
                    kind(**given | {name: f"{choice}x"})

    def test_names(self, kind, given):
        for name in option_names(kind):
            with pytest.raises(TDNError, match=rf"unknown option 'x{name}' in {kind.section} \(did you mean '\w+'\?\)"):
                kind(**given | {f"x{name}": 1})

    def test_immutable_and_equal_after_a_copy(self, kind, given):
        section = kind(**given)
        assert pickle.loads(pickle.dumps(section)) == copy.deepcopy(section) == replace(section) == section
        with pytest.raises(FrozenInstanceError):
            setattr(section, option_names(kind)[0], None)


def test_no_torch_for_a_configuration():
    code = "import sys; from tdn.config.run import config_from_dict; "
    code += "config_from_dict({'run_dir': 'a', 'data': {'train': 'b'}}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_model_presets_leave_room_for_own_values():
    section = {"preset": "md-large", "n_channels": 48, "elements": ["Cu"]}
    found = model_settings(config_from_dict(settings() | {"model": section}).model)
    assert (found.setting, found.l_max, found.n_channels, found.n_layers) == ("md", 2, 48, 3)
    for name in MODELS:
        assert model_settings({"elements": ["Cu"], "preset": name}).setting == "md"


def test_unknown_section():
    with pytest.raises(TDNError, match=r"unknown option 'modle' in the configuration \(did you mean 'model'\?\)"):
        config_from_dict(settings() | {"modle": {}})


@pytest.mark.parametrize("name", ["data", "run_dir"])
def test_missing(name):
    content = settings()
    del content[name]
    with pytest.raises(TDNError, match="missing; "):
        config_from_dict(content)


def test_section_that_is_no_mapping():
    with pytest.raises(TDNError, match="section 'training' is 5, not a list of options; write"):
        config_from_dict(settings() | {"training": 5})


def test_settings_stored_before_an_option_existed():
    """A file without the options has a model with norms in its radial networks and a softmax."""
    stored = architectures.config_to_dict(ModelConfig(("H",)))
    del stored["radial_norm"], stored["attention"]
    assert architectures.stored_config(stored) == ModelConfig(("H",), radial_norm="layer", attention="softmax")


def test_numbers_that_yaml_takes_for_words():
    config = config_from_dict(yaml.safe_load(yaml.safe_dump(settings()).replace("0.01", "1e-2")))
    assert config.training.learning_rate == 0.01


@pytest.mark.parametrize(
    ("text", "message"),
    [("run_dir: [", "is not valid YAML"), ("- a\n- b\n", "not a list of options"), ("", "'run_dir' .* missing")],
)
def test_file_that_is_no_configuration(tmp_path, text, message):
    (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(TDNError, match=message):
        load_config(tmp_path / "train.yaml")


def test_missing_file(tmp_path):
    with pytest.raises(TDNError, match=r"no\.yaml' does not exist; give the path of a YAML file"):
        load_config(tmp_path / "no.yaml")


def test_environment_variable_in_a_path(tmp_path, monkeypatch):
    config = config_from_dict(settings(), tmp_path)
    monkeypatch.setenv("TDN_TEST_FOLDER", "/elsewhere")
    assert config.path("$TDN_TEST_FOLDER/a.xyz") == Path("/elsewhere/a.xyz")
    assert config.path("a.xyz") == tmp_path / "a.xyz"
    monkeypatch.delenv("TDN_TEST_FOLDER")
    with pytest.raises(TDNError, match="environment variable that is not set; export it"):
        config.path("$TDN_TEST_FOLDER/a.xyz")


def test_too_few_structures(tmp_path):
    write(tmp_path / "train.xyz", crystals(1))
    with pytest.raises(TDNError, match="0 training and 1 validation structures are too few; add structures"):
        start(tmp_path, settings())


def test_no_files(tmp_path):
    with pytest.raises(TDNError, match=r"data\.train .*; "):
        start(tmp_path, changed(settings(), "data", train=[]))


def test_reference_energies_must_be_numbers(folder):
    with pytest.raises(TDNError, match=r"data\.references holds .*'low'.*; give"):
        start(folder, changed(settings(), "data", references={"Cu": "low", "Au": 0.0}))


def test_reference_energy_of_an_unknown_element(folder):
    with pytest.raises(TDNError, match=r"data\.references names Ag, which .* Cu Au, does not know; remove"):
        start(folder, changed(settings(), "data", references={"Cu": 0.0, "Au": 0.0, "Ag": 0.0}))


def test_run_folder_that_is_a_file(folder):
    (folder / "run").write_text("mine")
    with pytest.raises(TDNError, match=r"run_dir '.*run' is a file; name a folder"):
        start(folder, settings())
    assert (folder / "run").read_text() == "mine"


def test_gpu_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TDNError, match=r"training\.device is 'cuda' but torch sees no GPU; use 'auto' or 'cpu'"):
        start(folder, settings(device="cuda"))
