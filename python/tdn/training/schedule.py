"""Learning rate over a run: linear warm-up, then a cosine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


def learning_rate_factor(progress: float, warmup: float, final: float) -> float:
    """Fraction of the highest learning rate.

    Args:
        progress: part of the run that is done, 0 to 1.
        warmup: part of the run in which the rate rises linearly from zero.
        final: fraction at the end of the cosine.
    """
    if progress < warmup:
        return progress / warmup
    phase = min(1.0, (progress - warmup) / max(1.0 - warmup, 1e-12))
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * phase))


@dataclass
class Clock:
    """Time of a run in seconds, counted on over interruptions."""

    before: float = 0.0  #: seconds of the runs before this one
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.before + time.monotonic() - self.started
