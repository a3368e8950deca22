"""The configuration of a training run, read from YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic.dataclasses import dataclass

from tdn.config import presets
from tdn.config.architectures import KEY, split_options, with_architecture
from tdn.config.data import DataConfig
from tdn.config.model import ModelConfig
from tdn.config.option import Options, check_names, option, option_names
from tdn.config.settings import Settings
from tdn.config.training import TrainingConfig
from tdn.errors import TDNError

#: Cure of a missing ``run_dir``.
RUN_DIR = "name the folder for the results"
SECTIONS = ("model", "data", "training", "run_dir")


@dataclass(frozen=True)
class TrainConfig(Options):
    """One training run."""

    section: ClassVar[str] = "the configuration"

    data: DataConfig
    run_dir: Annotated[
        str, option("folder for checkpoints, log and plots; relative to the configuration file", cure=RUN_DIR)
    ]
    model: Annotated[
        dict[str, Any],
        option("architecture (default: TDN) and its options; elements come from the data if not given"),
    ] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    folder: Path = Path()  #: where relative paths start

    def path(self, name: str) -> Path:
        """Absolute or config-relative path, environment variables and ~ expanded."""
        expanded = os.path.expanduser(os.path.expandvars(name))
        if "$" in expanded:
            raise TDNError(f"path '{name}' uses an environment variable that is not set; export it or write the path")
        return self.folder / expanded

    def to_dict(self) -> dict[str, Any]:
        """Plain content, as in the file."""
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
        architecture: train this architecture instead of the file's (``tdn.config.architectures.with_architecture``).
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"configuration '{path}' does not exist; give the path of a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise TDNError(f"configuration '{path}' is not valid YAML: {' '.join(str(problem).split())}") from problem
    if architecture is not None and isinstance(content, dict):
        content = with_architecture(content, architecture)
    return config_from_dict(content or {}, path.parent)


def config_from_dict(content: dict[str, Any], folder: str | Path = ".") -> TrainConfig:
    """Check a configuration given as nested dictionaries."""
    content = check_names(content, SECTIONS, TrainConfig.section)
    if not isinstance(content.get("run_dir"), str):
        raise TDNError(f"option 'run_dir' in the configuration is missing; {RUN_DIR}")
    return TrainConfig(
        data=DataConfig.from_dict(content.get("data")),
        run_dir=content["run_dir"],
        model=check_model(content.get("model")),
        training=TrainingConfig.from_dict(presets.training_options(content.get("training"))),
        folder=Path(folder),
    )


def check_model(section: Any) -> dict[str, Any]:
    """Options of the model section as given; errors are reported before any structure is read."""
    kind, _ = split_options(section if isinstance(section, Mapping) else {})
    named_sets = [presets.KEY] if kind is ModelConfig else []
    given = check_names(section, [KEY, *named_sets, *option_names(kind)], "model")
    model_settings({"elements": ("H",), **given})  # the data may name the elements later
    return given


def model_settings(given: Mapping[str, Any]) -> Settings:
    """Settings of the architecture that a model section names."""
    kind, options = split_options(presets.with_setting(given))
    return kind.from_dict(options)
