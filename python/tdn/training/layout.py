"""The processes of a run, and the place of this one among them, from the environment and the options."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from tdn.config.training import TrainingConfig
from tdn.errors import TDNError

#: Variables set by torchrun and our launcher; srun sets the others for its processes. A batch script has no step.
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
#: First port of connections under SLURM; different jobs on a machine use different ports.
FIRST_PORT, N_PORTS = 15_000, 20_000


@dataclass(frozen=True)
class Place:
    """Place of a process among those of its run."""

    rank: int = 0
    world: int = 1  #: number of processes of the run
    local_rank: int = 0  #: number among the processes of its machine, which is also that of its GPU
    local_world: int = 1  #: number of processes on its machine
    address: str = "env://"  #: where the processes meet, in torch's terms

    @property
    def by_slurm(self) -> bool:
        """Whether SLURM started this process."""
        return self.address != "env://"


def own_place() -> Place:
    """Place of this process according to torchrun or SLURM; without them it is alone."""
    torchrun, slurm = numbers(TORCHRUN), numbers(SLURM)
    if len(torchrun) == len(TORCHRUN):
        rank, world, local_rank, local_world = (torchrun[name] for name in TORCHRUN)
        return Place(rank, world, local_rank, local_world)
    if slurm.get("SLURM_STEP_NUM_TASKS", 1) > 1 and len(slurm) == len(SLURM):
        nodes = numbers(["SLURM_STEP_NUM_NODES"]).get("SLURM_STEP_NUM_NODES", 1)
        rank, world, local_rank = (slurm[name] for name in SLURM)
        return Place(rank, world, local_rank, world // nodes, slurm_address())
    return Place()


def numbers(names: tuple[str, ...] | list[str]) -> dict[str, int]:
    """Environment variables that are whole numbers."""
    return {name: int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()}


def slurm_address() -> str:
    """The first machine of the step, and a port that depends on the job; ``MASTER_ADDR``, ``MASTER_PORT`` override."""
    nodes = os.environ.get("SLURM_STEP_NODELIST", os.environ.get("SLURM_JOB_NODELIST", "localhost"))
    job = sum(numbers(["SLURM_JOB_ID", "SLURM_STEP_ID"]).values())
    host = os.environ.get("MASTER_ADDR", first_host(nodes))
    return f"tcp://{host}:{os.environ.get('MASTER_PORT', FIRST_PORT + job % N_PORTS)}"


def first_host(nodes: str) -> str:
    """First name in a list as SLURM writes it, such as ``node[01-04,07],login``."""
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", nodes).split(",")[0]


def is_first() -> bool:
    """Whether this process prints and writes."""
    return own_place().rank == 0


def to_start(options: TrainingConfig) -> int:
    """Number of processes that this one must start on its machine; 0 if it does the work itself.

    Raises:
        TDNError: the options ask for missing GPUs, or for other processes than torchrun or SLURM started.
    """
    place = own_place()
    if place.world > 1:
        if options.devices not in (0, place.local_world):
            raise TDNError(
                f"training.devices is {options.devices} but torchrun or SLURM started {place.local_world} processes on "
                "this machine; leave training.devices at 0"
            )
        return 0
    wanted = max(options.devices, 1)
    device_type(options.device, wanted)
    return wanted if wanted * options.num_nodes > 1 else 0


def device_type(device: str, n_processes: int = 1) -> str:
    """``cuda`` or ``cpu``, from the option and the machine.

    Raises:
        TDNError: there are too few GPUs.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and not there:
        raise TDNError("training.device is 'cuda' but torch sees no GPU; use 'auto' or 'cpu'")
    if device == "cpu" or not there:
        return "cpu"
    if n_processes > there:
        raise TDNError(f"training.devices is {n_processes} but torch sees {there} GPUs; give fewer, or device: cpu")
    return "cuda"


def own_device(device: str, place: Place) -> torch.device:
    """The device of a process: the GPU of its machine with its number."""
    if place.by_slurm and torch.cuda.device_count() == 1:  # SLURM may show each process only its own GPU
        return torch.device(device_type(device))
    kind = device_type(device, place.local_world)
    return torch.device(kind, place.local_rank) if kind == "cuda" and place.world > 1 else torch.device(kind)
