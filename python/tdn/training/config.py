"""Everything a training run can be told, as frozen dataclasses; read from YAML."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tdn.errors import TDNError
from tdn.training import model_presets
from tdn.training.options import build_options, check_names
from tdn.training.sections import FREE_ON_RESUME, PRESETS, DataConfig, TrainingConfig

if TYPE_CHECKING:
    from tdn.model.settings import Settings

__all__ = ["FREE_ON_RESUME", "DataConfig", "TrainConfig", "TrainingConfig", "config_from_dict", "load_config"]

SECTIONS = ("model", "data", "training", "run_dir")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    data: DataConfig
    run_dir: str  #: folder for checkpoints, log and plots; relative to the configuration file
    #: architecture and fields of its settings (ModelConfig without one); elements come from the data
    model: dict[str, Any] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    folder: Path = Path()  #: where relative paths start

    def path(self, name: str) -> Path:
        """Absolute or config-relative path, environment variables and ~ expanded."""
        expanded = os.path.expanduser(os.path.expandvars(name))
        if "$" in expanded:
            raise TDNError(f"path '{name}' uses an environment variable that is not set; export it or write the path")
        return self.folder / expanded

    def to_dict(self) -> dict[str, Any]:
        """Plain content, as it was written in the file."""
        return {
            "model": dict(self.model),
            "data": asdict(self.data),
            "training": asdict(self.training),
            "run_dir": self.run_dir,
        }


def load_config(path: str | Path, architecture: str | None = None) -> TrainConfig:
    """Read a YAML file; paths in it are relative to its folder.

    Args:
        path: the file.
        architecture: train this one instead of the file's (``tdn.architectures.with_architecture``).
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"configuration '{path}' does not exist; give the path of a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise TDNError(f"configuration '{path}' is not valid YAML: {' '.join(str(problem).split())}") from problem
    if architecture is not None and isinstance(content, dict):
        from tdn.architectures import with_architecture

        content = with_architecture(content, architecture)
    return config_from_dict(content or {}, path.parent)


def config_from_dict(content: dict[str, Any], folder: str | Path = ".") -> TrainConfig:
    """Check a configuration given as nested dictionaries."""
    content = check_names(content, dict.fromkeys(SECTIONS), "the configuration")
    if not isinstance(content.get("run_dir"), str):
        raise TDNError("option 'run_dir' in the configuration is missing; name the folder for the results")
    model = check_model(content.get("model"))
    return TrainConfig(
        data=build_options(DataConfig, content.get("data"), "data"),
        run_dir=content["run_dir"],
        model=dict(model),
        training=build_options(TrainingConfig, with_preset(content.get("training")), "training"),
        folder=Path(folder),
    )


def with_preset(section: Any) -> Any:
    """The training section with the values of its preset where it does not give its own."""
    if not isinstance(section, dict):
        return section
    return {**PRESETS.get(str(section.get("preset")), {}), **section}


def check_model(section: Any) -> dict[str, Any]:
    """Options of the model section as given; mistakes are told before any structure is read."""
    from tdn.architectures import KEY, split_options

    kind, _ = split_options(section if isinstance(section, dict) else {})
    presets = {model_presets.KEY: None} if kind.architecture == "tdn" else {}
    given = check_names(section, {KEY: None, **presets, **{option.name: None for option in fields(kind)}}, "model")
    model_settings({"elements": ("H",), **given})  # the data may name the elements later
    return given


def model_settings(given: dict[str, Any]) -> Settings:
    """Settings of the architecture that a model section names."""
    from tdn.architectures import split_options

    kind, options = split_options(with_setting(given))
    return build_options(kind, options, "model")


def with_setting(given: dict[str, Any]) -> dict[str, Any]:
    """The model section with the values of its preset or of ``setting: paper`` where it gives none."""
    from tdn.model.config import ModelConfig

    given = model_presets.with_preset(given)
    if given.get("setting") != "paper":
        return given
    published = ModelConfig.paper(("H",)).to_dict()
    if given.get("forces", "direct") == "gradient" and "direct_forces" not in given:
        published["direct_forces"] = False
    del published["elements"]
    return {**published, **given}
