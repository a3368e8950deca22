"""The loop over epochs and batches: the same steps for one process and for many, before and after an interruption."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tdn.data.graph import Graph
from tdn.data.progress import tracked
from tdn.errors import TDNError
from tdn.training.batching import batches_of, graphs_of
from tdn.training.isolated import IsolatedAtoms
from tdn.training.module import share_of
from tdn.training.optimizer import clip_gradients, reduce_gradients
from tdn.training.saving import Saver
from tdn.training.schedule import learning_rate_factor, stage_weights
from tdn.training.session import Session
from tdn.training.tally import Tally

#: Number of steps between checks of the loss on a GPU, where a check must wait for the GPU.
LOOK_EVERY = 20


class Loop:
    """Trains a module; a step depends only on ``state``, the weights and the options."""

    def __init__(self, session: Session, loaders: tuple[DataLoader, DataLoader], saver: Saver) -> None:
        """Args: ``loaders`` for training and validation."""
        self.session, self.saver = session, saver
        self.module, self.optimizers, self.state = session.module, session.optimizers, session.state
        self.ranks, self.options = session.ranks, session.options
        self.train_loader, self.valid_loader = loaders
        self.dtype = torch.float64 if self.options.dtype == "float64" else torch.float32
        self.interrupted = False
        self.isolated = IsolatedAtoms(graphs_of(loaders[0]))

    def run(self, stop_after: int | None = None) -> None:
        """Train until the last epoch, the time limit, an interruption or the end of epoch ``stop_after``."""
        with self.signals_noted():
            while self.state.epoch < self.options.max_epochs and not self.time_is_over():
                self.train_epoch()
                self.finish_epoch()
                if self.state.epoch == stop_after:
                    return

    def time_is_over(self) -> bool:
        """Whether half of another epoch would pass the time limit."""
        if self.options.max_time is None or not self.state.history:
            return False
        epoch = self.state.elapsed / len(self.state.history)
        return self.state.elapsed + 0.5 * epoch > 60.0 * self.options.max_time

    def train_epoch(self) -> None:
        """The remaining batches of the epoch."""
        batches = batches_of(self.train_loader)
        batches.set_epoch(self.state.epoch)
        n_batches, batches.first = batches.n_batches, self.state.batch
        self.module.train()
        what = f"epoch {self.state.epoch + 1}"
        items = self.train_loader if self.state.batch < n_batches else ()
        shown = self.ranks.first and sys.stderr.isatty()
        graphs = tracked(items, n_batches, what, self.state.batch) if shown else items
        for graph, indices in zip(graphs, batches, strict=False):  # the loader reads the same batches ahead
            self.isolated.see(graph, indices)
            self.train_batch(graph, n_batches)

    def train_batch(self, graph: Graph, n_batches: int) -> None:
        """One step, and the work between steps."""
        state = self.state
        self.set_learning_rate(n_batches)
        if self.module.model.config.random_steps:
            seed_dropout(self.options.seed, state.step, self.ranks.rank)
        graph = graph.to(self.ranks.device, self.dtype)
        counts, to_stop = self.agree(self.module.counts(graph))
        weights = stage_weights(state.stage(n_batches, self.options, state.batch), self.options)
        share = self.module.share(graph, weights, counts)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, rows = self.module.training_step(share)
        loss.backward()
        self.update(loss)
        state.tally.add(rows)
        state.batch, state.step = state.batch + 1, state.step + 1
        self.end_step(to_stop if self.ranks.world > 1 else self.interrupted)

    def end_step(self, to_stop: bool) -> None:
        """Between two steps: save if due; end the run if it was interrupted.

        Raises:
            TDNError: the run was interrupted; the message says how to continue.
        """
        self.saver.save_if_due(self.session, to_stop)
        if to_stop:
            raise TDNError(f"training was stopped; step {self.state.step} is saved; continue with --resume")

    def set_learning_rate(self, n_batches: int) -> None:
        """Set the rate of the next step; with a rate of zero the first step would be lost."""
        options, progress = self.options, self.state.progress(self.state.batch + 1, n_batches, self.options)
        factor = learning_rate_factor(
            progress, options.warmup, options.final_learning_rate, options.schedule, options.decay
        )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * factor * self.state.plateau.factor * group.get("scale", 1.0)

    def agree(self, counts: Tensor) -> tuple[Tensor, bool]:
        """Count the labels of the whole batch, and agree on the time and on whether to stop.

        The first process's clock counts; a signal to any process stops all.

        Returns:
            Counts, and whether several processes must stop after this step.
        """
        elapsed = self.state.clock.elapsed() if self.ranks.first else 0.0
        if self.ranks.world == 1:
            self.state.elapsed = elapsed
            return counts, False
        extra = counts.new_tensor([elapsed, float(self.interrupted)])
        *_, elapsed, stop = (summed := self.ranks.total(torch.cat([counts, extra]))).tolist()
        self.state.elapsed = elapsed
        return summed[:-2], stop > 0

    def update(self, loss: Tensor) -> None:
        """Step of the optimizers and of the moving average."""
        module = self.module
        parameters = list(module.model.parameters())
        if self.ranks.world > 1:
            loss = reduce_gradients(parameters, loss, self.ranks.total)
        if self.ranks.device.type == "cpu" or self.state.step % LOOK_EVERY == 0:
            self.check_loss(loss)
        clip_gradients(parameters, module.gradient_norm, self.state.step == 0, self.options)
        for optimizer in self.optimizers:
            optimizer.step()
        if module.average is not None:
            module.average.update_parameters(module.model)

    def check_loss(self, loss: Tensor) -> None:
        """Refuse to go on with a loss that is not a number."""
        if not torch.isfinite(loss):
            raise TDNError(
                f"the loss is {float(loss.detach())} in step {self.state.step}; lower training.learning_rate "
                f"(now {self.options.learning_rate}) or look for wrong labels"
            )

    def validate(self) -> Tally:
        """Sums over the validation structures of all processes; each structure counts once."""
        self.module.eval()
        tally = Tally(self.module.properties)
        unused = torch.zeros(
            len(tally.properties), dtype=torch.float64, device=self.ranks.device
        )  # sums need no factors
        for graph in self.valid_loader:
            graph = graph.to(self.ranks.device, self.dtype)
            tally.add(self.module.validation_step(share_of(graph, unused)))
        return tally.reduced(self.ranks.total)

    def finish_epoch(self) -> None:
        """Validate, record the epoch's errors, save."""
        state = self.state
        self.isolated.agree(self.ranks)
        n_batches = batches_of(self.train_loader).n_batches
        stage = state.stage(n_batches, self.options, state.batch - 1)  # of the epoch's last step
        weights = stage_weights(stage, self.options)
        results = {"train": state.tally.reduced(self.ranks.total), "valid": self.validate()}
        row: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
        state.elapsed = self.agreed_time()
        row |= {"elapsed_s": round(state.elapsed, 2), "learning_rate": self.optimizers[0].param_groups[0]["lr"]}
        if self.options.second_stage is not None:
            row["stage"] = stage
        for part, tally in results.items():
            row |= {f"{part}_{name}": value for name, value in tally.result(weights).items()}
        state.history.append(row)
        state.epoch, state.batch, state.tally = state.epoch + 1, 0, Tally(self.module.properties)
        if self.options.schedule == "plateau":
            state.plateau.see(row["valid_loss"])
        self.saver.end_of_epoch(self.session, row)

    def agreed_time(self) -> float:
        """Seconds of training by the first process's clock."""
        own = torch.tensor([self.state.clock.elapsed() if self.ranks.first else 0.0], dtype=torch.float64)
        return float(self.ranks.total(own))

    @contextmanager
    def signals_noted(self) -> Iterator[None]:
        """SIGTERM (a job's time is over) and ctrl-C end the run after the current step; a second ctrl-C at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: Any) -> None:
            if self.interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def seed_dropout(seed: int, step: int, rank: int) -> None:
    """Dropout in a step depends only on seed, step and process, so that a resumed run repeats it."""
    torch.manual_seed(((seed + 1) * 1_000_003 + step) * 8191 + rank)
