"""Learning rate over a run: a linear warm-up, then one of four shapes; the clock of a run; weights of the stages."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from tdn.training.loss import weights_of


def learning_rate_factor(
    progress: float, warmup: float, final: float, schedule: str = "cosine", decay: float = 0.2
) -> float:
    """Fraction of the highest learning rate.

    Args:
        progress: finished fraction of the run, 0 to 1.
        warmup: fraction of the run in which the rate rises linearly from zero.
        final: fraction at the end of cosine and wsd.
        schedule: ``cosine``; ``wsd``, constant except for a linear decrease over the last ``decay`` of the run;
            ``constant`` and ``plateau`` (see :class:`Plateau`) give 1.
        decay: fraction of the run in which wsd decreases.
    """
    if progress < warmup:
        return progress / warmup
    if schedule == "cosine":
        phase = min(1.0, (progress - warmup) / max(1.0 - warmup, 1e-12))
        return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * phase))
    if schedule == "wsd":
        left = min(1.0, max(0.0, 1.0 - progress) / max(decay, 1e-12))
        return final + (1.0 - final) * left
    return 1.0


@dataclass
class Plateau:
    """Factor of the learning rate that decreases when the validation loss does not, as in torch's ReduceLROnPlateau.

    A loss counts as better if it is below the best by more than 1e-4 of it; after more than ``patience`` consecutive
    epochs without a better loss the factor is multiplied by ``step``.
    """

    patience: int
    step: float
    factor: float = 1.0
    best: float = math.inf
    waited: int = 0

    def see(self, loss: float) -> None:
        """Record the validation loss of an epoch."""
        if loss < self.best * (1.0 - 1e-4):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.factor, self.waited = self.factor * self.step, 0


@dataclass
class Clock:
    """Time of a run in seconds, continued across interruptions."""

    before: float = 0.0  #: seconds of the runs before this one
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.before + time.monotonic() - self.started


def stage_at(progress: float, options: Any) -> int:
    """1, or 2 from the start of the second stage on."""
    return 2 if options.second_stage is not None and progress >= options.second_stage["start"] else 1


def stage_weights(stage: int, options: Any) -> dict[str, float]:
    """Weight of each property's loss in a stage."""
    weights = weights_of(options)
    if stage == 2:
        for name in ("energy", "force", "stress"):
            weights[name] = float(options.second_stage.get(f"{name}_weight", weights[name]))
        weights["direct_force"] = weights["force"]
    return weights
