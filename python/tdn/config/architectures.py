"""Which architecture a configuration or a checkpoint means, and the settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from tdn.config.baselines import PaiNNConfig, SchNetConfig
from tdn.config.model import ModelConfig
from tdn.config.option import option_names
from tdn.config.settings import Settings
from tdn.errors import TDNError, suggest

#: Name of the option and of the entry in a checkpoint; without it, a model is a TDN.
KEY = "architecture"
KINDS: dict[str, type[Settings]] = {kind.architecture: kind for kind in (ModelConfig, SchNetConfig, PaiNNConfig)}
#: Options that mean the same in every architecture.
COMMON = tuple(option_names(Settings))
#: Values that a TDN had before an option existed: files without the option mean these, not today's defaults.
BEFORE = {"attention": "softmax"}


def split_options(options: Mapping[str, Any]) -> tuple[type[Settings], dict[str, Any]]:
    """The class of settings that ``model.architecture`` names, and the other options.

    Raises:
        TDNError: the architecture is unknown, or its library is missing.
    """
    name = options.get(KEY, ModelConfig.architecture)
    if name not in KINDS:
        raise TDNError(f"model.{KEY} is {name!r}{suggest(str(name), KINDS)}; use one of {', '.join(KINDS)}")
    if name == SchNetConfig.architecture and find_spec("torch_geometric") is None:
        raise TDNError(
            f"model.{KEY} is 'schnet', which needs torch_geometric, but it is not installed; install it with 'pip "
            "install torch_geometric'"
        )
    return KINDS[name], {option: value for option, value in options.items() if option != KEY}


def stored_config(options: Mapping[str, Any]) -> Settings:
    """Settings from the plain types in a checkpoint or an archive, with or without the name of the architecture.

    The file may be older than some options.
    """
    kind, rest = split_options(options)
    return kind.from_dict({**BEFORE, **rest} if kind is ModelConfig else rest)


def config_to_dict(config: Settings) -> dict[str, Any]:
    """The settings as plain types, which ``stored_config`` reads back."""
    return {KEY: config.architecture, **config.to_dict()}


def with_architecture(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A whole training configuration for another architecture, to compare the two on the same data.

    Elements and cutoff stay, the other options of the model are the architecture's defaults, and the results go to
    another folder, whose name ends in the architecture's. A configuration of this architecture is returned unchanged.
    """
    model = content.get("model") or {}
    if not isinstance(model, dict) or model.get(KEY, ModelConfig.architecture) == name:
        return content
    kind, _ = split_options(model)
    kept = {option: value for option, value in model.items() if option in COMMON}
    changed = {**content, "model": {KEY: name, "cutoff": kind.cutoff, **kept}}
    if isinstance(content.get("run_dir"), str):
        changed["run_dir"] = f"{content['run_dir'].rstrip('/')}-{name}"
    return changed
