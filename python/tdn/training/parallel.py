"""Processes of a run: one, or several on one or many machines, started by torchrun, by SLURM or by the first."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tdn.errors import TDNError
from tdn.training.sections import TrainingConfig


class Ranks:
    """What the processes of a run do together; with one process nothing is sent."""

    def __init__(self, options: TrainingConfig) -> None:
        """Args: ``device``, ``devices`` and ``num_nodes`` of ``options``."""
        devices, nodes = layout(options)
        kind = accelerator(options.device, devices)
        self.rank, self.world = 0, 1
        self.device = torch.device("cuda" if kind == "gpu" else "cpu")
        if devices * nodes > 1:
            self.launch(kind, devices, nodes)

    def launch(self, kind: str, devices: int, nodes: int) -> None:
        """Start the other processes of this machine, unless torchrun or SLURM did, and connect all."""
        with quiet_lightning():
            from lightning.fabric import Fabric  # takes seconds

            fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp")
            fabric.launch()
        self.rank, self.world, self.device = fabric.global_rank, fabric.world_size, fabric.device

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        if self.world == 1:
            return values
        values = values.to(self.device).contiguous().clone()
        torch.distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()

    def same(self, module: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.world > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                torch.distributed.broadcast(tensor.detach(), 0)

    def close(self) -> None:
        """End the connection; called once at the end of a run."""
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the first, before :class:`Ranks` is there."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(name, "0")) == 0 for name in ("NODE_RANK", "LOCAL_RANK"))


def layout(options: TrainingConfig) -> tuple[int, int]:
    """Processes per machine and machines: as configured, else as torchrun or SLURM says, else one."""
    if options.devices:
        return options.devices, options.num_nodes
    environment = {name: int(value) for name, value in os.environ.items() if name in _COUNTS and value.isdigit()}
    if "LOCAL_WORLD_SIZE" in environment and "WORLD_SIZE" in environment:
        local = environment["LOCAL_WORLD_SIZE"]
        return local, environment["WORLD_SIZE"] // local
    if environment.get("SLURM_STEP_NUM_TASKS", 1) > 1:
        nodes = environment.get("SLURM_STEP_NUM_NODES", 1)
        return environment["SLURM_STEP_NUM_TASKS"] // nodes, nodes
    return 1, options.num_nodes


#: Set by torchrun, and by srun for what it starts; a batch script itself has no step, so it stays one process.
_COUNTS = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES")


def accelerator(device: str, devices: int = 1) -> str:
    """Lightning's name of the device."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and not there:
        raise TDNError("training.device is 'cuda' but torch sees no GPU; use 'auto' or 'cpu'")
    if device == "cpu" or not there:
        return "cpu"
    if devices > there:
        raise TDNError(f"training.devices is {devices} but torch sees {there} GPUs; give fewer, or device: cpu")
    return "gpu"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """No tips and no device reports of Lightning."""
    logger = logging.getLogger("lightning.fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        try:
            yield
        finally:
            logger.setLevel(level)
