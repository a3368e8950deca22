"""Communication between the processes of a run: sums, barriers, equal weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from tdn.config.training import TrainingConfig
from tdn.errors import TDNError
from tdn.training.layout import own_device, own_place


class LostConnectionError(TDNError):
    """Another process of the run has ended; its own message says why."""


class Ranks:
    """The connected processes of a run; with one process nothing is sent."""

    def __init__(self, options: TrainingConfig) -> None:
        """Connect the processes, which torchrun, SLURM or :func:`tdn.training.launch.launch` started.

        ``options.device`` says where this process computes.
        """
        place = own_place()
        self.rank, self.world = place.rank, place.world
        self.device = own_device(options.device, place)
        if self.world == 1:
            return
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        with sentence_when_lost():
            distributed.init_process_group(backend, init_method=place.address, rank=self.rank, world_size=self.world)

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        if self.world == 1:
            return values
        values = values.to(self.device).contiguous().clone()
        with sentence_when_lost():
            distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            with sentence_when_lost():
                distributed.barrier()

    def broadcast_weights(self, module: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.world == 1:
            return
        with sentence_when_lost():
            for tensor in (*module.parameters(), *module.buffers()):
                distributed.broadcast(tensor.detach(), 0)

    def close(self) -> None:
        """End the connection; called once at the end of a run."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def sentence_when_lost() -> Iterator[None]:
    """Turn the errors of gloo and NCCL about a lost process into one sentence."""
    try:
        yield
    except RuntimeError as problem:
        reason = str(problem).splitlines()[0]
        raise LostConnectionError(
            f"the connection to another process of the run is lost ({reason}); see that process's own message"
        ) from None
