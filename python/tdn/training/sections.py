"""The sections ``data`` and ``training`` of a configuration; docs/training.md explains every option."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tdn.data.labels import KEY_OPTIONS, LabelKeys
from tdn.errors import TDNError
from tdn.training.loss import LOSSES

#: What a specification of data may be: a path, a mapping with a path and options of its format, or a list of both.
SPEC = (str, dict)


@dataclass(frozen=True)
class DataConfig:
    """Which structures to learn from. Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3."""

    #: path, mapping (path, format, options of the format) or a list of both; ``$NAME`` is an environment variable
    train: str | list | dict
    #: the same, or the fraction of the training structures (of their trajectories, where there are some) to hold out
    valid: str | list | dict | float = 0.1
    energy_key: str = "energy"  #: name of the energy in extended XYZ and ASE's files
    forces_key: str = "forces"  #: name of the forces there
    stress_key: str = "stress"  #: name of the stress there; of a virial (W = -stress x volume, eV) if it says virial
    references: str | dict = "auto"  #: energy of each element (eV), or auto (isolated atoms, else least squares)
    sample: int = 20_000  #: structures of which averages and references are taken where the data do not fit in memory
    memory: float = 4.0  #: GB of graphs that may be kept in memory; larger data are read again in every epoch
    cache: str | None = None  #: folder for averages of large data; null for the user's cache folder

    def __post_init__(self) -> None:
        if not self.train:
            raise TDNError(f"data.train is {self.train!r}; name at least one file of structures")
        for name in ("train", "valid"):
            for part in getattr(self, name) if isinstance(getattr(self, name), list) else ():
                if not isinstance(part, SPEC):
                    raise TDNError(f"data.{name} lists {part!r}, which is no file name; give paths of files")
        if isinstance(self.valid, float) and not 0.0 < self.valid < 1.0:
            raise TDNError(f"data.valid is {self.valid}; give files or a fraction between 0 and 1")
        if isinstance(self.references, str) and self.references not in ("auto", "least_squares"):
            raise TDNError(
                f"data.references is '{self.references}'; use auto, least_squares or an energy for each element"
            )
        if self.sample < 1:
            raise TDNError(f"data.sample is {self.sample}; give a positive number of structures")
        if not self.memory >= 0:
            raise TDNError(f"data.memory is {self.memory}; give a number of GB that is not negative")
        LabelKeys.from_options(asdict(self))

    @property
    def label_options(self) -> dict[str, str]:
        """Names of labels that are not the usual ones, as options of the data's format."""
        usual = {option: getattr(type(self), option) for option in KEY_OPTIONS}
        return {option: getattr(self, option) for option in KEY_OPTIONS if getattr(self, option) != usual[option]}


#: Values of the training section that repeat the published training, for ``preset: paper``.
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
PRESETS: dict[str, dict[str, Any]] = {"paper": PAPER_TRAINING}
#: Second stage of runs that give no weight of the energy. While the learning rate is high, a step moves the energies of
#: all atoms together: a large weight is then spent on that common error and drowns the forces (benchmarks/accuracy).
ENERGY_LAST = {"start": 0.75, "energy_weight": 20.0}
#: What a second stage may change, beside where it starts.
STAGE_OPTIONS = ("energy_weight", "force_weight", "stress_weight")

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw", "muon"),
    "schedule": ("cosine", "plateau", "constant", "wsd"),
    "energy_loss": tuple(LOSSES["energy"]),
    "force_loss": tuple(LOSSES["force"]),
    "stress_loss": tuple(LOSSES["stress"]),
    "dtype": ("float32", "float64", "tf32", "bf16"),
    "device": ("auto", "cpu", "cuda"),
    "init_references": ("data", "keep"),
    "best_by": ("loss", "energy_mae", "energy_rmse", "force_mae", "force_rmse"),
}
_POSITIVE = ("batch_size", "max_epochs", "learning_rate", "huber_delta", "num_nodes")
_NOT_NEGATIVE = (
    *("energy_weight", "force_weight", "stress_weight", "num_threads", "weight_decay", "clip", "max_norm"),
    *("devices", "workers", "patience", "save_every", "save_every_steps"),
)


@dataclass(frozen=True)
class TrainingConfig:
    """How to learn."""

    preset: str | None = None  #: ``paper``: defaults of this section as published
    batch_size: int = 4  #: structures in one step, over all processes
    max_edges: int | None = None  #: edges in one step, over all processes, to fill batches up to instead of batch_size
    max_epochs: int = 100  #: passes over the training structures
    #: minutes; the schedule then ends at this time or at max_epochs, whichever is first. It follows the clock, so that
    #: only runs without max_time repeat exactly and resume exactly
    max_time: float | None = None
    optimizer: str = "muon"  #: adam, adamw or muon
    learning_rate: float = 5e-3  #: highest learning rate
    weight_decay: float = 0.0  #: of weight matrices; biases, norms and embeddings have none
    schedule: str = "cosine"  #: cosine, plateau, constant or wsd, after the warm-up
    warmup: float = 0.02  #: fraction of the run in which the learning rate rises from zero
    final_learning_rate: float = 0.01  #: fraction of ``learning_rate`` at the end of cosine and wsd
    decay: float = 0.2  #: fraction of the run in which wsd (warm-up, stable, decay) falls to the end
    patience: int = 2  #: epochs without a better validation loss that plateau waits for
    plateau_factor: float = 0.1  #: factor of the learning rate when plateau's patience is over
    energy_loss: str = "mse"  #: mse, mae or huber of dE/n_atoms
    force_loss: str = "mse"  #: mse, mae, huber of components, rmse of structures (paper), norm or cosine of atoms
    stress_loss: str = "mse"  #: mse, mae or huber of d stress x volume/n_atoms
    huber_delta: float = 0.01  #: error (eV/atom, eV/angstrom, eV) beyond which huber is linear
    #: factor of the energy's loss; of mse in (eV)^-2. None: 1, and 20 in a second stage, see :data:`ENERGY_LAST`
    energy_weight: float | None = None
    force_weight: float = 1.0  #: factor of the forces' loss; of mse in (eV/angstrom)^-2
    stress_weight: float = 20.0  #: factor of the stress's loss; of mse in (eV)^-2
    #: other weights from a part of the run on: {start: 0.75, energy_weight: ..., force_weight: ..., stress_weight: ...}
    second_stage: dict | None = None
    ema_decay: float = 0.995  #: decay per step of the moving average of the weights; 0 for no average
    clip: float = 3.0  #: longest gradient, in units of its running average; 0 for no such clipping
    max_norm: float = 0.0  #: longest gradient; 0 for no such clipping
    best_by: str = "loss"  #: error on the validation structures that best.ckpt has the lowest of
    final_fit: bool = True  #: after the last epoch, fit scale or references of best.ckpt exactly
    seed: int = 0  #: of the first weights, the held-out structures, the order of the structures and dropout
    dtype: str = "float32"  #: float32, float64, tf32 or bf16 (both float32 but for products of matrices)
    device: str = "auto"  #: auto, cpu or cuda
    devices: int = 0  #: processes on a machine, each with a GPU if there are some; 0: as torchrun or SLURM says, else 1
    num_nodes: int = 1  #: machines, where neither torchrun nor SLURM says it
    num_threads: int = 0  #: threads of torch; 0 keeps torch's choice (OMP_NUM_THREADS)
    workers: int = 0  #: processes that read structures and build graphs, for data that are not kept in memory
    compile: bool = False  #: trace and compile the whole step (minutes at the start; worth it in long runs)
    save_every: float = 15.0  #: minutes after which last.ckpt is written within an epoch; 0 for never
    save_every_steps: int = 0  #: steps after which last.ckpt is written within an epoch; 0 for never
    init_from: str | None = None  #: checkpoint (or .pth of the published code) whose weights the run starts from
    init_references: str = "data"  #: reference energies of such a start: from the data, or keep those of the checkpoint

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise TDNError(f"training.preset is '{self.preset}'; use {' or '.join(PRESETS)}, or null")
        if self.energy_weight is None:
            object.__setattr__(self, "energy_weight", 1.0)
            if self.second_stage is None:
                object.__setattr__(self, "second_stage", dict(ENERGY_LAST))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise TDNError(f"training.{name} is '{getattr(self, name)}'; use {' or '.join(known)}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise TDNError(f"training.{name} is {getattr(self, name)}; give a positive number")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise TDNError(f"training.{name} is {getattr(self, name)}; give a number that is not negative")
        if self.max_edges is not None and self.max_edges < 1:
            raise TDNError(f"training.max_edges is {self.max_edges}; give a positive number or null for batch_size")
        if self.max_time is not None and self.max_time <= 0:
            raise TDNError(f"training.max_time is {self.max_time}; give minutes or null for no limit")
        for name in ("warmup", "decay"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise TDNError(f"training.{name} is {value}; give a fraction of the run from 0 to below 1")
        if not 0.0 < self.plateau_factor < 1.0:
            raise TDNError(f"training.plateau_factor is {self.plateau_factor}; give a number between 0 and 1")
        if not 0.0 <= self.ema_decay < 1.0:
            raise TDNError(f"training.ema_decay is {self.ema_decay}; give a number from 0 (no average) to below 1")
        if self.second_stage is not None:
            check_stage(self.second_stage)

    @property
    def weight_dtype(self) -> str:
        """Precision of the weights: float32 or float64."""
        return "float64" if self.dtype == "float64" else "float32"


def check_stage(stage: dict[str, Any]) -> None:
    """Refuse a second stage with other options or without a start within the run."""
    for name, value in stage.items():
        if name != "start" and name not in STAGE_OPTIONS:
            raise TDNError(f"training.second_stage has an option '{name}'; known are start, {', '.join(STAGE_OPTIONS)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise TDNError(f"training.second_stage.{name} is {value!r}; give a number that is not negative")
    if not 0.0 < stage.get("start", 0.0) < 1.0:
        raise TDNError(
            f"training.second_stage.start is {stage.get('start')}; give the fraction of the run, between 0 and 1, "
            "at which it begins"
        )


#: Options that a resumed run may change: they say when it ends and where it runs.
FREE_ON_RESUME = (
    *("max_epochs", "max_time", "device", "devices", "num_nodes", "num_threads", "workers"),
    *("save_every", "save_every_steps", "compile", "final_fit"),
)
