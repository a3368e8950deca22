"""Lightning's trainer and the batches of a run."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch.utils.data import DataLoader, Sampler

from tdn.data.graph import Graph, collate
from tdn.errors import TDNError
from tdn.training.callbacks import EpochEnd
from tdn.training.config import TrainConfig


class EpochOrder(Sampler[int]):
    """Order of the structures in an epoch: depends on the seed and the epoch only, so that a resumed run repeats it."""

    def __init__(self, n: int, seed: int) -> None:
        """Args: ``n`` structures, ``seed`` of the run."""
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        return iter(torch.randperm(self.n, generator=generator).tolist())


def build_loaders(
    train: Sequence[Graph], valid: Sequence[Graph], config: TrainConfig
) -> tuple[DataLoader[Graph], DataLoader[Graph]]:
    """Batches for training, in a new order in every epoch, and for validation."""
    size = config.training.batch_size
    order = EpochOrder(len(train), config.training.seed)
    return (
        DataLoader(train, batch_size=size, sampler=order, collate_fn=collate),  # type: ignore[arg-type]
        DataLoader(valid, batch_size=size, collate_fn=collate),  # type: ignore[arg-type]
    )


def build_trainer(config: TrainConfig, epoch_end: EpochEnd) -> pl.Trainer:
    """Trainer without Lightning's own logger and checkpoints; a progress bar only on a terminal."""
    callbacks: list[Callback] = [epoch_end]
    interactive = sys.stdout.isatty()
    if interactive:
        callbacks.append(RichProgressBar(leave=False))
    return pl.Trainer(
        max_epochs=config.training.max_epochs,
        accelerator=accelerator(config.training.device),
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=interactive,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
        log_every_n_steps=1,
    )


def accelerator(device: str) -> str:
    """Lightning's name of the device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise TDNError("training.device is 'cuda' but torch sees no GPU; use 'auto' or 'cpu'")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "gpu"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """No tips, device reports or advice on data workers: the graphs are in memory already."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        try:
            yield
        finally:
            logger.setLevel(level)
