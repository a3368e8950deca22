"""Files of a run: checkpoints within and after epochs, the log, one line per epoch for the user."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tdn.errors import TDNError
from tdn.evaluation.metrics import UNITS
from tdn.files import write_atomically
from tdn.training.checkpoint import KEY, read_checkpoint

if TYPE_CHECKING:
    from tdn.training.loop import Loop

logger = logging.getLogger(__name__)

LOG_FILE = "metrics.csv"
BEST = "best.ckpt"
LAST = "last.ckpt"


class Saver:
    """Writes ``metrics.csv``, ``last.ckpt`` and ``best.ckpt``; only the first process does.

    ``last.ckpt`` is written after every epoch and, as the options say, within epochs; a run that goes on from it gives
    the same weights as one that was never stopped, whenever that was.
    """

    def __init__(self, folder: Path, pack: Callable[[Loop], dict]) -> None:
        """Args: ``folder`` of the run; ``pack`` makes the checkpoint's entry that ``tdn.load`` reads."""
        self.folder = folder
        self.pack = pack
        self.saved_at = 0.0  #: seconds of training at the last write
        self.saved_step = -1

    def maybe(self, loop: Loop, stop: float) -> None:
        """Between two steps: save when it is time to, end the run when it was interrupted.

        Raises:
            TDNError: the run was interrupted; it says how to go on.
        """
        options, state = loop.options, loop.state
        by_time = options.save_every and state.elapsed - self.saved_at > 60.0 * options.save_every
        by_steps = options.save_every_steps and state.step % options.save_every_steps == 0
        if by_time or by_steps or stop:
            self.save(loop, LAST)
        if stop:
            raise TDNError(f"training was stopped; step {state.step} is saved; go on with --resume")

    def end_of_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
        """Tell, log and save."""
        state = loop.state
        error = row.get(f"valid_{loop.options.best_by}", row["valid_loss"])
        new_stage = len(state.history) > 1 and state.history[-2].get("stage") != row.get("stage")
        better = error <= state.best or new_stage
        if better:
            state.best = error
        # last.ckpt comes last: a run that dies before goes on from an earlier one and writes all of this again
        if better:
            self.save(loop, BEST)
        if loop.ranks.first:
            write_log(state.history, self.folder / LOG_FILE)
        self.save(loop, LAST)
        if loop.ranks.first:
            logger.info(epoch_line(row, loop.options.max_epochs))

    def save(self, loop: Loop, name: str) -> None:
        """Write a checkpoint; every process calls it."""
        tally = loop.state.tally.reduced(loop.ranks.total)
        self.saved_at, self.saved_step = loop.state.elapsed, loop.state.step
        if not loop.ranks.first:
            return
        content = {
            KEY: self.pack(loop),
            "epoch": loop.state.epoch,
            "global_step": loop.state.step,
            "state_dict": {name: value.detach().cpu() for name, value in loop.module.state_dict().items()},
            "optimizer_states": [optimizer.state_dict() for optimizer in loop.optimizers],
            "run": loop.state.to_dict(tally),
        }
        write_atomically(lambda part: torch.save(content, part), self.folder / name)

    def load(self, loop: Loop) -> None:
        """Go on where ``last.ckpt`` was written."""
        content = read_checkpoint(self.folder / LAST)
        loop.module.load_state_dict(content["state_dict"])
        for optimizer, state in zip(loop.optimizers, content["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        loop.state.load(content["run"], loop.module.properties, loop.ranks.first)
        self.saved_at = loop.state.elapsed


def write_log(history: list[dict[str, float]], path: Path) -> None:
    """One row per epoch; ``metrics.METRICS`` defines the errors and their units."""
    names = list(dict.fromkeys(name for row in history for name in row))

    def write(target: str) -> None:
        with open(target, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)

    write_atomically(write, path)


def epoch_line(row: dict[str, Any], max_epochs: int) -> str:
    """Errors of an epoch in one line."""
    parts = [f"epoch {row['epoch']}/{max_epochs}", f"{row['elapsed_s']:.0f} s", f"lr {row['learning_rate']:.1e}"]
    for part in ("train", "valid"):
        errors = [
            f"{name} {row[f'{part}_{name}_rmse']:.2f} {unit}"
            for name, unit in UNITS.items()
            if f"{part}_{name}_rmse" in row
        ]
        parts.append(f"{part} RMSE {', '.join(errors)}")
    return " | ".join(parts)
