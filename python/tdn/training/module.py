"""The training step, the validation step and the optimizer, as a Lightning module."""

from __future__ import annotations

from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.model import TDN
from tdn.training.config import TrainingConfig
from tdn.training.loss import loss_of
from tdn.training.metrics import ErrorSums, differences
from tdn.training.schedule import Clock, learning_rate_factor

#: Weight of the newest step in the running average of the gradient's length.
NEWEST = 0.02


class TrainingModule(pl.LightningModule):
    """Trains a model on batches of ``Graph``; validation sees the moving average of the weights."""

    gradient_norm: Tensor  #: () float64, running average of the gradient's length

    def __init__(self, model: TDN, options: TrainingConfig, total_steps: int, stress: bool) -> None:
        """Args: ``total_steps`` of the whole run set the schedule; ``stress``: the data has stress labels."""
        super().__init__()
        self.model = model
        self.options = options
        self.total_steps = max(total_steps, 1)
        self.stress = stress
        self.average = average_of(model, options.ema_decay)
        self.register_buffer("gradient_norm", torch.tensor(0.0, dtype=torch.float64))
        self.history: list[dict[str, float]] = []  #: one row of errors per finished epoch
        self.clock = Clock()
        self.sums = {"train": ErrorSums(), "valid": ErrorSums()}
        self.losses: dict[str, list[float]] = {"train": [], "valid": []}

    @property
    def best_model(self) -> TDN:
        """The weights to validate and to keep: the moving average where there is one."""
        return self.model if self.average is None else cast(TDN, self.average.module)

    def transfer_batch_to_device(self, batch: Graph, device: torch.device, dataloader_idx: int) -> Graph:
        """Labels and edge vectors are kept in float64 and cast here."""
        dtype = torch.float64 if self.options.dtype == "float64" else torch.float32
        return batch.to(device, dtype)

    def training_step(self, graph: Graph, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        output = self.model(graph, stress=self.stress, training=True)
        loss = self.count("train", output, graph)
        if not torch.isfinite(loss):
            raise TDNError(
                f"the loss is {float(loss.detach())} in step {self.global_step}; lower training.learning_rate "
                f"(now {self.options.learning_rate}) or look for wrong labels"
            )
        return loss

    def validation_step(self, graph: Graph, batch_idx: int) -> None:
        """Errors of one batch; forces are derivatives, so gradients are on."""
        with torch.enable_grad():
            output = self.best_model(graph, stress=self.stress, training=False)
        self.count("valid", output, graph)

    def count(self, part: str, output: Any, graph: Graph) -> Tensor:
        """Add a batch to the errors of this epoch and return its loss."""
        errors = differences(output, graph)
        loss = loss_of(errors, graph, self.options)
        self.sums[part].add(errors)
        self.losses[part].append(float(loss.detach()))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Graph, batch_idx: int) -> None:
        """Move the average of the weights."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Shorten a gradient that is much longer than its running average."""
        if not self.options.clip:
            return
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        first = self.global_step == 0
        limit = float(norm if first else self.options.clip * self.gradient_norm)
        nn.utils.clip_grads_with_norm_(parameters, max(limit, 1e-12), norm)
        newest = norm.double().clamp(max=limit)
        self.gradient_norm.copy_(newest if first else torch.lerp(self.gradient_norm, newest, NEWEST))

    def progress(self, step: int) -> float:
        """Part of the run that is done, by steps or by time, whichever is further."""
        by_steps = step / self.total_steps
        if self.options.max_time is None:
            return by_steps
        return max(by_steps, self.clock.elapsed() / (60.0 * self.options.max_time))

    def configure_optimizers(self) -> Any:
        """Adam with the schedule of ``learning_rate_factor``, set anew in every step."""
        options = self.options
        optimizer = torch.optim.Adam(self.model.parameters(), lr=options.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            # the first step would be lost with a rate of zero
            lambda step: learning_rate_factor(self.progress(step + 1), options.warmup, options.final_learning_rate),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_end(self) -> None:
        """Write down the epoch's errors (Lightning validates before it ends the epoch)."""
        row = {"epoch": self.current_epoch + 1, "step": self.global_step, "elapsed_s": round(self.clock.elapsed(), 2)}
        row["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        for part, sums in self.sums.items():
            row[f"{part}_loss"] = mean(self.losses[part])
            row.update({f"{part}_{name}": value for name, value in sums.result().items()})
            self.sums[part], self.losses[part] = ErrorSums(), []
        self.history.append(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """History, time and random state travel with the checkpoint, as plain types."""
        checkpoint["run"] = {
            "history": [dict(row) for row in self.history],
            "elapsed_s": self.clock.elapsed(),
            "random_state": torch.get_rng_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        run = checkpoint["run"]
        self.history = [dict(row) for row in run["history"]]
        self.clock = Clock(before=run["elapsed_s"])
        torch.set_rng_state(run["random_state"])


def average_of(model: nn.Module, decay: float) -> AveragedModel | None:
    """Exponential moving average of the weights; it never needs a gradient."""
    if not decay:
        return None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    return average.requires_grad_(False)


def mean(values: list[float]) -> float:
    """Average, or 0 without values."""
    return sum(values) / len(values) if values else 0.0
