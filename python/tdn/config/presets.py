"""Named sets of options: models of the md setting, the published model, the published training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdn.config.model import ModelConfig
from tdn.errors import TDNError, suggest

#: Option of the sections model and training that names one.
KEY = "preset"
#: Models from cheap to accurate. Each is on the frontier of error against time per atom and step that
#: benchmarks/accuracy measured (acetylacetone): no tested model has a smaller error in the same time.
MODELS: dict[str, dict[str, Any]] = {
    "md-small": {"l_max": 1, "n_channels": 32, "n_layers": 2, "n_heads": 4},
    "md-medium": {"l_max": 2, "n_channels": 32, "n_layers": 2, "n_heads": 4},
    "md-large": {"l_max": 2, "n_channels": 64, "n_layers": 3, "n_heads": 4},
}

#: The published training.
PAPER_TRAINING: dict[str, Any] = {
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "schedule": "plateau",
    "patience": 2,
    "plateau_factor": 0.1,
    "warmup": 0.0,
    "energy_loss": "mae",
    "force_loss": "rmse",
    "energy_weight": 1.0,
    "force_weight": 1.0,
    "ema_decay": 0.0,
    "clip": 0.0,
    "best_by": "energy_mae",
    "final_fit": False,
}
TRAININGS: dict[str, dict[str, Any]] = {"paper": PAPER_TRAINING}


def model_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model section, completed by those of its preset.

    Raises:
        TDNError: the preset is unknown, or is given together with another setting than md.
    """
    options = {option: value for option, value in given.items() if option != KEY}
    name = given.get(KEY)
    if name is None:
        return options
    if name not in MODELS:
        raise TDNError(f"model.preset is {name!r}{suggest(str(name), MODELS)}; use one of {', '.join(MODELS)}")
    if options.get("setting", "md") != "md":
        setting = options["setting"]
        raise TDNError(f"model.preset {name} belongs to the setting md but model.setting is {setting!r}; drop one")
    return {**MODELS[name], **options}


def with_setting(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model section, completed by those of its preset or of ``setting: paper``."""
    options = model_options(given)
    if options.get("setting") != "paper":
        return options
    published = ModelConfig.paper(("H",)).to_dict()
    if options.get("forces", "direct") == "gradient" and "direct_forces" not in options:
        published["direct_forces"] = False
    del published["elements"]
    return {**published, **options}


def training_options(given: Any) -> Any:
    """The training section, completed by the values of its preset."""
    if not isinstance(given, Mapping):
        return given
    return {**TRAININGS.get(str(given.get(KEY)), {}), **given}
