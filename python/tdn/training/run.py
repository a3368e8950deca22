"""One training run from a configuration to checkpoints, log and plots."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from tdn.architectures import build_model, default_dtype
from tdn.checkpoints import load_with_summary, read_checkpoint
from tdn.config.run import TrainConfig
from tdn.errors import TDNError
from tdn.evaluation.evaluate import evaluate
from tdn.evaluation.report import error_table
from tdn.malloc import keep_freed_pages
from tdn.model import TDN
from tdn.training.batching import build_loader
from tdn.training.final_fit import final_fit, store_fit
from tdn.training.finetuning import Start, open_start, take_over
from tdn.training.launch import launch
from tdn.training.layout import is_first, to_start
from tdn.training.loop import Loop
from tdn.training.module import TrainingModule
from tdn.training.optimizer import build_optimizers
from tdn.training.parallel import Ranks
from tdn.training.plots import plot_learning_curve, plot_parity
from tdn.training.prepare import TrainingData, notes, prepare_data
from tdn.training.run_folder import (
    CURVE_FILE,
    PARITY_FILE,
    check_folder,
    check_same_data,
    check_same_model,
    open_folder,
)
from tdn.training.run_lock import locked_folder
from tdn.training.saving import BEST, LAST, Saver
from tdn.training.schedule import Plateau
from tdn.training.session import Session
from tdn.training.state import RunState
from tdn.training.summary import pack
from tdn.training.tally import Tally

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    stop_after: int | None = None,
) -> Path:
    """Train a model and return the folder with ``best.ckpt``, ``last.ckpt``, ``metrics.csv`` and two plots.

    Progress goes to the logger ``tdn`` (``tdn.console.printed_log`` prints it). All processes started by torchrun or
    SLURM call this, and the first logs and writes; otherwise ``training.devices`` is the number of processes to start.

    Args:
        config: see ``tdn.config.run``.
        resume: continue from ``last.ckpt`` of the same run.
        overwrite: remove the files of an earlier run in the folder.
        stop_after: stop after this epoch as if interrupted; the schedule stays that of the whole run.
    """
    folder = config.path(config.run_dir)
    if n_processes := to_start(config.training):
        launch(config, n_processes, resume=resume, overwrite=overwrite, stop_after=stop_after)
        return folder
    if not is_first():
        train_here(config, folder, resume, overwrite, stop_after)
        return folder
    with locked_folder(folder):
        train_here(config, folder, resume, overwrite, stop_after)
    return folder


def train_here(config: TrainConfig, folder: Path, resume: bool, overwrite: bool, stop_after: int | None) -> None:
    """The work of this process; arguments as in :func:`train`."""
    first = is_first()
    before = check_folder(config, folder, resume, overwrite) if first else None
    keep_freed_pages()
    if config.training.num_threads:
        torch.set_num_threads(config.training.num_threads)
    start = open_start(config)
    data = prepare_data(config, start)
    if before:
        check_same_model(data.model_config, before["model_config"])
        check_same_data(data.statistics, len(data.train), len(data.valid), before["training"])
    module, remarks = build_module(config, data, start)
    if first:
        describe(module, data, [*notes(data), *remarks])
    open_now = partial(open_folder, config, folder, overwrite)
    fit(config, module, data, Saver(folder, partial(pack, config=config, data=data)), resume, stop_after, open_now)
    if first:
        finish(config, folder, data)


def build_module(config: TrainConfig, data: TrainingData, start: Start | None) -> tuple[TrainingModule, list[str]]:
    """Model with seeded weights or those of ``start``, in the run's dtype, for energies above the references.

    Also returns notes for the user about the weights.
    """
    torch.manual_seed(config.training.seed)
    with default_dtype(config.training.weight_dtype):
        model = build_model(data.model_config)
    if model.energy_convention == "extensive":
        model.set_references([0.0] * len(data.references), data.statistics.scale)
    elif isinstance(model, TDN) and model.network.force_head is not None:
        # as published: one norm in front of the energy head and the force head
        model.network.force_head.norm = model.network.norm
    remarks = take_over(model, start) if start else []
    return TrainingModule(model, config.training, data.has_stress), remarks


def describe(module: TrainingModule, data: TrainingData, remarks: list[str]) -> None:
    """Log what will be trained."""
    config, options = data.model_config, module.options
    n_weights = sum(parameter.numel() for parameter in module.model.parameters())
    references = ", ".join(f"{e} {v:.4f}" for e, v in zip(config.elements, data.references, strict=True))
    degree, looked = data.statistics.average_degree, data.statistics.n_structures
    logger.info(f"{len(data.train)} training and {len(data.valid)} validation structures, {degree:.1f} neighbors")
    where = "" if looked == len(data.train) else f" in {looked} of the training structures"
    logger.info(f"labels: {', '.join(f'{name} {count}' for name, count in data.label_counts.items())}{where}")
    for line in remarks:
        logger.info(line)
    scale = data.statistics.scale
    logger.info(f"reference energies from {data.statistics.references_from} (eV): {references}; scale {scale:.4f} eV")
    n_batches = len(build_loader(data.train, options, data.statistics.average_edges, shuffle=True))
    logger.info(f"{n_weights} weights, {n_batches * options.max_epochs} steps in {options.max_epochs} epochs")


def fit(
    config: TrainConfig,
    module: TrainingModule,
    data: TrainingData,
    saver: Saver,
    resume: bool,
    stop_after: int | None,
    open_now: Callable[[], AbstractContextManager[None]],
) -> None:
    """Run the loop; an interruption becomes a sentence that says how to continue.

    ``open_now`` opens the folder, which is delayed until only the loop can fail.
    """
    options, edges = config.training, data.statistics.average_edges
    ranks = Ranks(options)
    module.to(ranks.device)
    loaders = [
        build_loader(part.above(data.references), options, edges, shuffle, ranks.rank, ranks.world)
        for part, shuffle in ((data.train, True), (data.valid, False))
    ]
    state = RunState(Plateau(options.patience, options.plateau_factor), Tally(module.properties))
    optimizers = build_optimizers(module.model, options)
    session = Session(module, optimizers, state, ranks)
    if resume:
        saver.resume(session)
    ranks.broadcast_weights(module)
    if options.compile:
        module.compile_steps()
    try:
        with open_now() if ranks.first else nullcontext():
            Loop(session, (loaders[0], loaders[1]), saver).run(stop_after)
    except KeyboardInterrupt:
        step = saver.saved_step
        saved = f"step {step} is saved; continue with --resume" if step >= 0 else "no step is saved yet"
        raise TDNError(f"training was stopped; {saved}") from None
    ranks.close()


def finish(config: TrainConfig, folder: Path, data: TrainingData) -> None:
    """The final fit of the best model, plots, and the table of its errors on the validation structures."""
    history = read_checkpoint(folder / LAST)["run"]["history"]
    plot_learning_curve(history, folder / CURVE_FILE)
    model, summary = load_with_summary(folder / BEST)
    fits = config.training.final_fit and model.energy_convention == "extensive"
    if fits:
        final_fit(model, data, config.training)
    result = evaluate(model, data.valid, batch_size=config.training.batch_size)
    if fits:
        store_fit(folder / BEST, model, summary, result.errors)
    plot_parity(result, folder / PARITY_FILE)
    logger.info(f"best model ({folder / BEST}) on the validation structures:")
    logger.info(error_table(result.errors))
