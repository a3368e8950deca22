"""What happens at the end of an epoch: one line, the log, the checkpoints, the time limit."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from tdn.files import write_atomically
from tdn.training.checkpoint import KEY
from tdn.training.metrics import UNITS
from tdn.training.module import TrainingModule

LOG_FILE = "metrics.csv"
BEST = "best.ckpt"
LAST = "last.ckpt"


class EpochEnd(Checkpoint):
    """Writes ``metrics.csv``, ``last.ckpt`` and ``best.ckpt``; stops when the time is over.

    A ``Checkpoint`` callback runs after the module has written its row of errors. Only whole epochs are
    saved: a run that is stopped goes on from its last whole epoch and so repeats what it would have done.
    """

    def __init__(
        self, folder: Path, pack: Callable[[TrainingModule], dict], tell: Callable[[str], None], stop_after: int | None
    ) -> None:
        """Set up.

        Args:
            folder: where the files go.
            pack: makes the checkpoint's entry that ``tdn.load`` reads.
            tell: prints a line.
            stop_after: end the run after this epoch without changing its schedule.
        """
        self.folder = folder
        self.pack = pack
        self.tell = tell
        self.stop_after = stop_after

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the model itself to Lightning's content."""
        assert isinstance(module, TrainingModule)
        checkpoint[KEY] = self.pack(module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log, save, decide whether to go on."""
        assert isinstance(module, TrainingModule)
        row = module.history[-1]
        self.tell(epoch_line(row, module.options.max_epochs))
        write_atomically(trainer.save_checkpoint, self.folder / LAST)
        if row["valid_loss"] <= min(earlier["valid_loss"] for earlier in module.history):
            write_atomically(trainer.save_checkpoint, self.folder / BEST)
        write_log(module.history, self.folder / LOG_FILE)
        if time_is_over(module) or row["epoch"] == self.stop_after:
            trainer.should_stop = True


def time_is_over(module: TrainingModule) -> bool:
    """Whether half of another epoch would pass the time limit."""
    if module.options.max_time is None:
        return False
    elapsed = module.clock.elapsed()
    epoch = elapsed / len(module.history)
    return elapsed + 0.5 * epoch > 60.0 * module.options.max_time


def write_log(history: list[dict[str, float]], path: Path) -> None:
    """One row per epoch; errors of energy in meV/atom, of forces in meV/angstrom, of stress in meV/angstrom^3."""
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
