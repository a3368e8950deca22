"""Everything a training run can be told, as frozen dataclasses; read from YAML."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from tdn.errors import TDNError
from tdn.training.options import build_options, check_names

SECTIONS = ("model", "data", "training", "run_dir")


@dataclass(frozen=True)
class DataConfig:
    """Which structures to learn from. Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3."""

    train: str | list  #: file or files that ASE reads; ``$NAME`` in a path is an environment variable
    valid: str | list | float = 0.1  #: file or files, or the fraction of the training structures to hold out
    references: str | dict = "auto"  #: energy of each element (eV), or auto (isolated atoms, else least squares)

    def __post_init__(self) -> None:
        if not self.train:
            raise TDNError(f"data.train is {self.train!r}; name at least one file of structures")
        for name in ("train", "valid"):
            for file in getattr(self, name) if isinstance(getattr(self, name), list) else ():
                if not isinstance(file, str):
                    raise TDNError(f"data.{name} lists {file!r}, which is no file name; give paths of files")
        if isinstance(self.valid, float) and not 0.0 < self.valid < 1.0:
            raise TDNError(f"data.valid is {self.valid}; give files or a fraction between 0 and 1")
        if isinstance(self.references, str) and self.references not in ("auto", "least_squares"):
            raise TDNError(
                f"data.references is '{self.references}'; use auto, least_squares or an energy for each element"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """How to learn."""

    batch_size: int = 4  #: structures in one step
    max_epochs: int = 100  #: passes over the training structures
    #: minutes; the schedule then ends at this time or at max_epochs, whichever is first. It follows the clock, so that
    #: only runs without max_time repeat exactly and resume exactly
    max_time: float | None = None
    learning_rate: float = 5e-3  #: highest learning rate of Adam
    warmup: float = 0.02  #: fraction of the run in which the learning rate rises from zero
    final_learning_rate: float = 0.01  #: fraction of ``learning_rate`` at the end of the cosine
    energy_weight: float = 20.0  #: factor of mean (dE/n_atoms)^2 in the loss, (eV)^-2
    force_weight: float = 1.0  #: factor of mean dF^2 (all components) in the loss, (eV/angstrom)^-2
    stress_weight: float = 20.0  #: factor of mean (d stress x volume/n_atoms)^2 (nine components) in the loss, (eV)^-2
    ema_decay: float = 0.995  #: decay per step of the moving average of the weights; 0 for no average
    clip: float = 3.0  #: longest gradient, in units of its running average; 0 for no clipping
    seed: int = 0  #: of the first weights, the held-out structures and the order of the structures
    dtype: str = "float32"  #: float32 or float64
    device: str = "auto"  #: auto, cpu or cuda
    num_threads: int = 0  #: threads of torch; 0 keeps torch's choice (OMP_NUM_THREADS)

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "learning_rate"):
            if not getattr(self, name) > 0:
                raise TDNError(f"training.{name} is {getattr(self, name)}; give a positive number")
        for name in ("energy_weight", "force_weight", "stress_weight", "num_threads"):
            if not getattr(self, name) >= 0:
                raise TDNError(f"training.{name} is {getattr(self, name)}; give a number that is not negative")
        if self.max_time is not None and self.max_time <= 0:
            raise TDNError(f"training.max_time is {self.max_time}; give minutes or null for no limit")
        if not 0.0 <= self.warmup < 1.0:
            raise TDNError(f"training.warmup is {self.warmup}; give a fraction of the run from 0 to below 1")
        if not 0.0 <= self.ema_decay < 1.0:
            raise TDNError(f"training.ema_decay is {self.ema_decay}; give a number from 0 (no average) to below 1")
        for name, known in (("dtype", ("float32", "float64")), ("device", ("auto", "cpu", "cuda"))):
            if getattr(self, name) not in known:
                raise TDNError(f"training.{name} is '{getattr(self, name)}'; use {' or '.join(known)}")


#: Options that a resumed run may change: they say when it ends and where it runs.
FREE_ON_RESUME = ("max_epochs", "max_time", "device", "num_threads")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    data: DataConfig
    run_dir: str  #: folder for checkpoints, log and plots; relative to the configuration file
    model: dict[str, Any] = field(default_factory=dict)  #: fields of ModelConfig; elements come from the data
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


def load_config(path: str | Path) -> TrainConfig:
    """Read a YAML file; paths in it are relative to its folder."""
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"configuration '{path}' does not exist; give the path of a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise TDNError(f"configuration '{path}' is not valid YAML: {' '.join(str(problem).split())}") from problem
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
        training=build_options(TrainingConfig, content.get("training"), "training"),
        folder=Path(folder),
    )


def check_model(section: Any) -> dict[str, Any]:
    """Options of the model section as given; mistakes are told before any structure is read."""
    from tdn.model.config import ModelConfig

    given = check_names(section, {option.name: None for option in fields(ModelConfig)}, "model")
    model = build_options(ModelConfig, {"elements": ("H",), **given}, "model")  # the data may name the elements later
    if model.energy_convention != "extensive":
        raise TDNError("model.setting is 'paper', whose energy is not extensive and cannot be trained; use 'md'")
    if model.direct_forces and model.forces == "gradient":
        raise TDNError(
            "model.direct_forces is true but model.forces is 'gradient', which would leave the direct head untrained; "
            "set model.forces: direct, or direct_forces: false"
        )
    return given


def as_list(value: str | list) -> list[str]:
    """One or several file names as a list."""
    return [value] if isinstance(value, str) else list(value)
