"""A run in progress: everything that its steps change, and its processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tdn.config.training import TrainingConfig
from tdn.training.module import TrainingModule
from tdn.training.parallel import Ranks
from tdn.training.state import RunState


@dataclass(frozen=True)
class Session:
    """Everything that the loop works on and a checkpoint holds."""

    module: TrainingModule
    optimizers: list[torch.optim.Optimizer]
    state: RunState
    ranks: Ranks

    @property
    def options(self) -> TrainingConfig:
        """The section ``training`` of the configuration."""
        return self.module.options

    def to_dict(self) -> dict[str, Any]:
        """Content of a checkpoint from which the run can resume; every process calls this."""
        tally = self.state.tally.reduced(self.ranks.total)
        return {
            "epoch": self.state.epoch,
            "global_step": self.state.step,
            "state_dict": {name: value.detach().cpu() for name, value in self.module.state_dict().items()},
            "optimizer_states": [optimizer.state_dict() for optimizer in self.optimizers],
            "run": self.state.to_dict(tally),
        }

    def load(self, content: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.module.load_state_dict(content["state_dict"])
        for optimizer, state in zip(self.optimizers, content["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        self.state.load(content["run"], self.module.properties, self.ranks.first)
