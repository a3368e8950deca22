"""State of a run: everything besides weights that an exact resume needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tdn.config.training import TrainingConfig
from tdn.training.schedule import Clock, Plateau, stage_at
from tdn.training.tally import Tally


@dataclass
class RunState:
    """Position, history, and the decisions that depend on it."""

    plateau: Plateau
    tally: Tally  #: of this epoch's training batches so far, of this process
    epoch: int = 0  #: finished epochs
    batch: int = 0  #: finished batches of the current epoch
    step: int = 0  #: finished steps
    history: list[dict[str, float]] = field(default_factory=list)  #: one row of errors per finished epoch
    clock: Clock = field(default_factory=Clock)
    elapsed: float = 0.0  #: seconds of training, by the first process's clock
    best: float = math.inf  #: lowest error of the current stage on the validation structures

    def progress(self, step_of_epoch: float, n_batches: int, options: TrainingConfig) -> float:
        """Finished fraction of the run, by batches or by time, whichever is larger."""
        by_steps = (self.epoch + step_of_epoch / max(n_batches, 1)) / options.max_epochs
        if options.max_time is None:
            return by_steps
        return max(by_steps, self.elapsed / (60.0 * options.max_time))

    def stage(self, n_batches: int, options: TrainingConfig, batch: int) -> int:
        """Stage of the loss weights in a step of this epoch."""
        return stage_at(self.progress(batch, n_batches, options), options)

    def to_dict(self, tally: Tally) -> dict[str, Any]:
        """Plain types and tensors; ``tally`` of all processes."""
        return {
            "history": [dict(row) for row in self.history],
            "elapsed_s": self.clock.elapsed(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "best": self.best,
            "plateau": asdict(self.plateau),
            "sums": tally.rows,
        }

    def load(self, content: dict[str, Any], properties: Sequence[str], first: bool) -> None:
        """Continue from a checkpoint; the ``first`` process takes the sums of the epoch."""
        self.history = [dict(row) for row in content["history"]]
        self.clock = Clock(before=content["elapsed_s"])
        self.elapsed = content["elapsed_s"]
        # checkpoints of earlier versions were written between epochs and have only their history
        last = self.history[-1] if self.history else {"epoch": 0, "step": 0}
        self.epoch = content.get("epoch", int(last["epoch"]))
        self.step = content.get("step", int(last["step"]))
        self.batch = content.get("batch", 0)
        self.best = content.get("best", min((row["valid_loss"] for row in self.history), default=math.inf))
        self.plateau = Plateau(**content.get("plateau", asdict(self.plateau)))
        self.tally = Tally(properties, content["sums"] if first and "sums" in content else None)
