"""Files of a run: checkpoints within and after epochs, the log, one line per epoch for the user."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tdn.checkpoints import KEY, read_checkpoint
from tdn.evaluation.metrics import UNITS
from tdn.files import write_atomically
from tdn.training.session import Session

logger = logging.getLogger(__name__)

LOG_FILE = "metrics.csv"
BEST = "best.ckpt"
LAST = "last.ckpt"


class Saver:
    """Writes ``metrics.csv``, ``last.ckpt`` and ``best.ckpt``; only the first process does.

    ``last.ckpt`` is written after every epoch and, as configured, within epochs; a run that resumes from it gives the
    same weights as an uninterrupted run.
    """

    def __init__(self, folder: Path, pack: Callable[[Session], dict]) -> None:
        """Args: ``folder`` of the run; ``pack`` gives the checkpoint's entry that ``tdn.load`` reads."""
        self.folder = folder
        self.pack = pack
        self.saved_at = 0.0  #: seconds of training at the last write
        self.saved_step = -1

    def save_if_due(self, session: Session, stop: bool) -> None:
        """Between two steps: save when it is due, and when the run must stop."""
        options, state = session.options, session.state
        by_time = options.save_every and state.elapsed - self.saved_at > 60.0 * options.save_every
        by_steps = options.save_every_steps and state.step % options.save_every_steps == 0
        if by_time or by_steps or stop:
            self.save(session, LAST)

    def end_of_epoch(self, session: Session, row: dict[str, Any]) -> None:
        """Save, write the table of errors, and log the epoch."""
        state, first = session.state, session.ranks.first
        # last.ckpt comes last: a run that dies before it resumes from an earlier one and writes all of this again
        if is_best(session, row):
            self.save(session, BEST)
        if first:
            write_log(state.history, self.folder / LOG_FILE)
        self.save(session, LAST)
        if first:
            logger.info(epoch_line(row, session.options.max_epochs))

    def save(self, session: Session, name: str) -> None:
        """Write a checkpoint; every process calls it."""
        content = session.to_dict()
        self.saved_at, self.saved_step = session.state.elapsed, session.state.step
        if session.ranks.first:
            content[KEY] = self.pack(session)
            write_atomically(lambda part: torch.save(content, part), self.folder / name)

    def resume(self, session: Session) -> None:
        """Continue from ``last.ckpt``."""
        session.load(read_checkpoint(self.folder / LAST))
        self.saved_at = session.state.elapsed


def is_best(session: Session, row: dict[str, Any]) -> bool:
    """Whether no epoch of this stage had a lower error; if so, the error is recorded."""
    state = session.state
    error = row.get(f"valid_{session.options.best_by}", row["valid_loss"])
    new_stage = len(state.history) > 1 and state.history[-2].get("stage") != row.get("stage")
    best = bool(error <= state.best or new_stage)
    if best:
        state.best = error
    return best


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
