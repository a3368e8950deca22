"""One training run from a configuration to checkpoints, log and plots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from tdn.errors import TDNError
from tdn.model import TDN
from tdn.training.callbacks import BEST, LAST, LOG_FILE, EpochEnd
from tdn.training.checkpoint import KEY, default_dtype, load_model, pack_model, plain, read_checkpoint
from tdn.training.config import FREE_ON_RESUME, TrainConfig
from tdn.training.evaluation import error_table, evaluate
from tdn.training.loop import build_loaders, build_trainer, quiet_lightning
from tdn.training.malloc import keep_freed_pages
from tdn.training.module import TrainingModule
from tdn.training.plots import plot_learning_curve, plot_parity
from tdn.training.prepare import TrainingData, prepare_data

CONFIG_FILE = "config.yaml"
CURVE_FILE = "learning_curve.png"
PARITY_FILE = "parity.png"
#: Files of a run; ``overwrite`` removes these and no others.
RUN_FILES = (BEST, LAST, LOG_FILE, CONFIG_FILE, CURVE_FILE, PARITY_FILE)


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    stop_after: int | None = None,
    tell: Callable[[str], None] = print,
) -> Path:
    """Train a model and return the folder with ``best.ckpt``, ``last.ckpt``, ``metrics.csv`` and two plots.

    Args:
        config: see ``tdn.training.config``.
        resume: go on from ``last.ckpt`` of the same run.
        overwrite: remove the files of an earlier run in the folder.
        stop_after: stop after this epoch as if interrupted; the schedule stays that of the whole run.
        tell: receives lines for the user.
    """
    folder = config.path(config.run_dir)
    check_folder(config, folder, resume, overwrite)
    keep_freed_pages()
    if config.training.num_threads:
        torch.set_num_threads(config.training.num_threads)
    data = prepare_data(config, tell)
    module = build_module(config, data)
    describe(module, data, tell)
    open_folder(config, folder, resume, overwrite)
    epoch_end = EpochEnd(folder, partial(pack, config=config, data=data), tell, stop_after)
    fit(config, module, data, epoch_end, resume)
    finish(config, folder, data, tell)
    return folder


def check_folder(config: TrainConfig, folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to overwrite a run silently, or to go on with a different one."""
    if folder.exists() and not folder.is_dir():
        raise TDNError(f"run_dir '{folder}' is a file; name a folder for the results")
    if resume and overwrite:
        raise TDNError("--resume and --overwrite exclude each other; give one of them")
    if resume:
        check_same_run(config, read_checkpoint(folder / LAST)[KEY]["training"]["config"])
    elif folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise TDNError(
            f"the run folder '{folder}' exists; go on with --resume, replace its files with --overwrite, "
            "or change run_dir"
        )


def check_same_run(config: TrainConfig, before: dict[str, Any]) -> None:
    """The options that decide what a step does must be those of the interrupted run."""
    now = plain(config.to_dict())
    for section in ("model", "data", "training"):
        for name in {**before[section], **now[section]}:
            old, new = before[section].get(name), now[section].get(name)
            if old != new and not (section == "training" and name in FREE_ON_RESUME):
                raise TDNError(
                    f"{section}.{name} is {new!r} but the run to resume has {old!r}; restore it or change run_dir"
                )


def open_folder(config: TrainConfig, folder: Path, resume: bool, overwrite: bool) -> None:
    """Make the folder, empty of this program's files unless the run goes on, and note the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for name in RUN_FILES:
            (folder / name).unlink(missing_ok=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config.to_dict(), sort_keys=False), encoding="utf-8")


def build_module(config: TrainConfig, data: TrainingData) -> TrainingModule:
    """Model with seeded weights, in the run's dtype, working above the reference energies."""
    torch.manual_seed(config.training.seed)
    with default_dtype(config.training.dtype):
        model = TDN(data.model_config)
    model.set_references([0.0] * len(data.references), data.scale)
    batches = -(-len(data.train) // config.training.batch_size)
    return TrainingModule(model, config.training, batches * config.training.max_epochs, data.has_stress)


def describe(module: TrainingModule, data: TrainingData, tell: Callable[[str], None]) -> None:
    """What is going to be trained, line by line."""
    config = data.model_config
    n_weights = sum(parameter.numel() for parameter in module.model.parameters())
    references = ", ".join(f"{e} {v:.4f}" for e, v in zip(config.elements, data.references, strict=True))
    tell(f"{len(data.train)} training and {len(data.valid)} validation structures, {config.avg_degree:.1f} neighbors")
    tell(f"labels: {', '.join(f'{name} {count}' for name, count in data.label_counts.items())}")
    if data.unused:
        tell(f"Note: {', '.join(data.unused)} in the files are not used; only energy, forces and stress are read.")
    tell(f"reference energies from {data.references_from} (eV): {references}; scale {data.scale:.4f} eV")
    tell(f"{n_weights} weights, {module.total_steps} steps in {module.options.max_epochs} epochs")


def fit(config: TrainConfig, module: TrainingModule, data: TrainingData, epoch_end: EpochEnd, resume: bool) -> None:
    """Run the loop; an interruption becomes a sentence that says how to go on."""
    loaders = build_loaders(data.above_references("train"), data.above_references("valid"), config)
    with quiet_lightning():
        trainer = build_trainer(config, epoch_end)
        try:
            trainer.fit(module, *loaders, ckpt_path=epoch_end.folder / LAST if resume else None, weights_only=True)
        except SystemExit as stop:  # what Lightning makes of ctrl-C and SIGTERM
            done = len(module.history)
            saved = f"epoch {done} is saved; go on with --resume" if done else "no epoch was finished, nothing is saved"
            raise TDNError(f"training was stopped; {saved}") from stop


def pack(module: TrainingModule, config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """The checkpoint's entry for ``tdn.load``, with the story of the training."""
    row = module.history[-1]
    elements = data.model_config.elements
    summary = {
        "elements": elements,
        "n_train": len(data.train),
        "n_valid": len(data.valid),
        "files": data.files,
        "min_distance": data.min_distance,
        "references": dict(zip(elements, data.references, strict=True)),
        "references_from": data.references_from,
        "energy_scale": data.scale,
        "dtype": config.training.dtype,
        "epoch": row["epoch"],
        "steps": row["step"],
        "loss": {"train": row["train_loss"], "valid": row["valid_loss"]},
        "errors": {part: errors_of(row, part) for part in ("train", "valid")},
        "config": config.to_dict(),
    }
    return pack_model(module.best_model, data.references, data.scale, summary)


def errors_of(row: dict[str, float], part: str) -> dict[str, float]:
    """Errors of one part of the data without its prefix: ``force_rmse`` in meV/angstrom and so on."""
    named = {key.removeprefix(f"{part}_"): value for key, value in row.items() if key.startswith(f"{part}_")}
    return {key: value for key, value in named.items() if key.endswith(("_mae", "_rmse"))}


def finish(config: TrainConfig, folder: Path, data: TrainingData, tell: Callable[[str], None]) -> None:
    """Plots and the table of errors of the best model on the validation structures."""
    history = read_checkpoint(folder / LAST)["run"]["history"]
    plot_learning_curve(history, folder / CURVE_FILE)
    model = load_model(folder / BEST)
    result = evaluate(model, data.valid, model.dtype, batch_size=config.training.batch_size)
    plot_parity(result, folder / PARITY_FILE)
    tell(f"best model ({folder / BEST}) on the validation structures:")
    tell(error_table(result.errors))
