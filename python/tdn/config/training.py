"""The section ``training`` of a configuration."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tdn.config.option import Options, extra_of, option, option_names, option_of
from tdn.errors import TDNError

#: Second stage of runs that give no energy weight. While the learning rate is high, a step moves the energies of all
#: atoms together: a large weight is then spent on that common error and drowns the forces (benchmarks/accuracy).
ENERGY_LAST = {"start": 0.75, "energy_weight": 20.0}
#: What a second stage may change, besides where it starts.
STAGE_OPTIONS = ("energy_weight", "force_weight", "stress_weight")

_FRACTION: dict[str, Any] = {"cure": "give a fraction of the run from 0 to below 1", "ge": 0, "lt": 1}
_POSITIVE: dict[str, Any] = {"cure": "give a positive number", "gt": 0, "allow_inf_nan": False}
_NOT_NEGATIVE: dict[str, Any] = {"cure": "give a number that is not negative", "ge": 0}
_COUNT: dict[str, Any] = {"cure": "give a whole number of at least 1", "ge": 1}
_COUNT_OR_NONE: dict[str, Any] = {"cure": "give a whole number that is not negative", "ge": 0}


@dataclass(frozen=True)
class TrainingConfig(Options):
    """How to learn."""

    section: ClassVar[str] = "training"

    preset: Annotated[
        Literal["paper"] | None,
        option("`paper`: defaults of this section as published", cure="use paper, or null"),
    ] = None
    batch_size: Annotated[int, option("structures in one step, over all processes", **_COUNT)] = 4
    max_edges: Annotated[
        Annotated[int, Field(ge=1)] | None,
        option(
            "fill batches up to this many edges (over all processes) instead of `batch_size`; counted if graphs are "
            "in memory, else estimated from the mean",
            cure="give a positive number or null for batch_size",
        ),
    ] = None
    max_epochs: Annotated[int, option("passes over the training structures", free_on_resume=True, **_COUNT)] = 100
    max_time: Annotated[
        Annotated[float, Field(gt=0)] | None,
        option(
            "time limit, at which the schedule ends if that is sooner. Such a run follows the clock and is not exactly "
            "reproducible",
            unit="minutes",
            cure="give minutes or null for no limit",
            free_on_resume=True,
        ),
    ] = None
    optimizer: Annotated[
        Literal["adam", "adamw", "muon"],
        option(
            "`muon`: Muon for the matrices of linear maps and AdamW for the rest; `adam` or `adamw` for all weights "
            "need more steps (benchmarks/accuracy)"
        ),
    ] = "muon"
    learning_rate: Annotated[float, option("highest learning rate", **_POSITIVE)] = 5e-3
    weight_decay: Annotated[
        float,
        option("decay of weight matrices; biases, norms and tables of elements do not decay", **_NOT_NEGATIVE),
    ] = 0.0
    schedule: Annotated[
        Literal["cosine", "plateau", "constant", "wsd"],
        option("after the warm-up: `cosine`, `plateau`, `constant`, or `wsd` (warm-up, stable, linear decay)"),
    ] = "cosine"
    warmup: Annotated[float, option("fraction of the run in which the rate rises from zero", **_FRACTION)] = 0.02
    final_learning_rate: Annotated[
        float, option("rate at the end of `cosine` and `wsd`, as a fraction of the highest", cure="give a number")
    ] = 0.01
    decay: Annotated[float, option("last fraction of the run, in which the rate of `wsd` falls", **_FRACTION)] = 0.2
    patience: Annotated[int, option("epochs that `plateau` waits for a lower validation loss", **_COUNT_OR_NONE)] = 2
    plateau_factor: Annotated[
        float,
        option(
            "factor by which `plateau` multiplies the rate when its patience is over",
            cure="give a number between 0 and 1",
            gt=0,
            lt=1,
        ),
    ] = 0.1
    energy_loss: Annotated[
        Literal["mse", "mae", "huber"], option("`mse`, `mae` or `huber` of the error of the energy per atom")
    ] = "mse"
    force_loss: Annotated[
        Literal["mse", "mae", "huber", "rmse", "norm", "cosine"],
        option(
            "`mse`, `mae`, `huber` of components; `rmse` of structures (as in the paper); `norm`, `cosine` of atoms"
        ),
    ] = "mse"
    stress_loss: Annotated[
        Literal["mse", "mae", "huber"], option("`mse`, `mae` or `huber` of stress x volume / atoms")
    ] = "mse"
    huber_delta: Annotated[
        float, option("error beyond which `huber` is linear", unit="eV/atom, eV/angstrom, eV", **_POSITIVE)
    ] = 0.01
    energy_weight: Annotated[
        Annotated[float, Field(ge=0)] | None,
        option(
            "weight of the energy loss. Null means 1, and 20 in the last quarter of the run (unless `second_stage` is "
            "given): a step moves the energies of all atoms together, so while the learning rate is high a large "
            "weight is spent on that common error and not on the forces. On acetylacetone a weight of 20 from the "
            "start gives 60 % larger errors in forces and in energy",
            cure="give a number that is not negative",
        ),
    ] = None
    force_weight: Annotated[float, option("weight of the force loss", **_NOT_NEGATIVE)] = 1.0
    stress_weight: Annotated[float, option("weight of the stress loss", **_NOT_NEGATIVE)] = 20.0
    second_stage: Annotated[
        dict | None,
        option(
            "other loss weights from a fraction of the run on: `{start: 0.75, energy_weight: 200, force_weight: 1}`; "
            "the choice of `best.ckpt` starts over there",
            cure="give options such as {start: 0.75, energy_weight: 20}, or null",
        ),
    ] = None
    ema_decay: Annotated[
        float,
        option(
            "decay per step of the moving average of the weights, which is validated and saved; at most "
            "(1 + n) / (10 + n) at step n; 0 for no average",
            cure="give a number from 0 (no average) to below 1",
            ge=0,
            lt=1,
        ),
    ] = 0.995
    clip: Annotated[
        float,
        option("largest norm of the gradient, in units of its running average; 0 for no limit", **_NOT_NEGATIVE),
    ] = 3.0
    max_norm: Annotated[float, option("largest norm of the gradient; 0 for no limit", **_NOT_NEGATIVE)] = 0.0
    best_by: Annotated[
        Literal["loss", "energy_mae", "energy_rmse", "force_mae", "force_rmse"],
        option(
            "validation error by which `best.ckpt` is chosen: `loss`, `energy_mae`, `energy_rmse`, `force_mae`, "
            "`force_rmse`"
        ),
    ] = "loss"
    final_fit: Annotated[
        bool,
        option(
            "after the last epoch, `best.ckpt` gets one last fit to (at most 512) training structures. If reference "
            "energies are those of isolated atoms or given, they stay, and the energy scale is fitted by least squares "
            "of the loss; else one constant for each element is fitted by least squares of the energy per atom. A step "
            "of training moves all energies together, and what remains of that at the end is random; forces change by "
            "1e-5 or not at all. False in `preset: paper`",
            free_on_resume=True,
        ),
    ] = True
    seed: Annotated[int, option("random seed of weights, held-out structures, order and dropout")] = 0
    dtype: Annotated[
        Literal["float32", "float64", "tf32", "bf16"],
        option("`float32`, `float64`, `tf32` or `bf16` (both float32 except in matrix products), see below"),
    ] = "float32"
    device: Annotated[Literal["auto", "cpu", "cuda"], option("`auto`, `cpu` or `cuda`", free_on_resume=True)] = "auto"
    devices: Annotated[
        int,
        option(
            "processes on a machine, each with a GPU if there are any; 0: as torchrun or SLURM says, else one",
            free_on_resume=True,
            **_COUNT_OR_NONE,
        ),
    ] = 0
    num_nodes: Annotated[
        int, option("number of machines, if neither torchrun nor SLURM sets it", free_on_resume=True, **_COUNT)
    ] = 1
    num_threads: Annotated[
        int,
        option("torch's threads in each process; 0 keeps torch's choice", free_on_resume=True, **_COUNT_OR_NONE),
    ] = 0
    workers: Annotated[
        int,
        option(
            "processes that read structures and build graphs for data that are not kept in memory",
            free_on_resume=True,
            **_COUNT_OR_NONE,
        ),
    ] = 0
    compile: Annotated[
        bool,
        option(
            "trace and compile the whole step including both derivatives: takes minutes at the start, is faster "
            "afterwards",
            free_on_resume=True,
        ),
    ] = False
    save_every: Annotated[
        float,
        option(
            "interval at which `last.ckpt` is written within an epoch; 0 for never",
            unit="minutes",
            free_on_resume=True,
            **_NOT_NEGATIVE,
        ),
    ] = 15.0
    save_every_steps: Annotated[
        int,
        option(
            "number of steps after which `last.ckpt` is written within an epoch; 0 for never",
            free_on_resume=True,
            **_COUNT_OR_NONE,
        ),
    ] = 0
    init_from: Annotated[
        str | None, option("checkpoint, or `.pth` of the published code, with the initial weights")
    ] = None
    init_references: Annotated[
        Literal["data", "keep"],
        option("reference energies with `init_from`: from the `data`, or `keep` those of the checkpoint"),
    ] = "data"

    def __post_init__(self) -> None:
        if self.energy_weight is None:
            object.__setattr__(self, "energy_weight", 1.0)
            if self.second_stage is None:
                object.__setattr__(self, "second_stage", dict(ENERGY_LAST))
        if self.second_stage is not None:
            check_stage(self.second_stage)

    @property
    def weight_dtype(self) -> str:
        """Precision of the weights: float32 or float64."""
        return "float64" if self.dtype == "float64" else "float32"


def check_stage(stage: dict[str, Any]) -> None:
    """Refuse a second stage with unknown options or without a start within the run."""
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
FREE_ON_RESUME = tuple(
    name for name in option_names(TrainingConfig) if extra_of(option_of(TrainingConfig, name), "free_on_resume")
)
