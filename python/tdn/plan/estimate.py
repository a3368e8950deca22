"""The plan itself: expected counts, traffic, memory and time of one rank, from density and geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tdn.plan.geometry import remote_volumes, shell_volume
from tdn.plan.partners import effective_reaches
from tdn.plan.rates import Rates
from tdn.plan.workload import ModelSize, System


@dataclass(frozen=True)
class Estimate:
    """Expected numbers of one rank."""

    atoms: float
    edges: float
    ghosts: float
    remote: float
    messages: float  #: per layer and direction
    layer_bytes: float  #: per layer and direction, mean over layers
    step_bytes: float  #: all layers, both directions
    memory: float | None = None  #: bytes; None without rates
    seconds: float | None = None  #: per step; None without rates
    exchange_seconds: float | None = None  #: the part of ``seconds`` spent on messages


def estimate(model: ModelSize, system: System, rates: Rates | None = None, crowding: float = 1.0) -> Estimate:
    """Numbers of a rank whose block and surroundings hold ``crowding`` times the mean density.

    Args:
        model: widths, cutoff and precision.
        system: box, atoms and grid of ranks.
        rates: measured costs; without them memory and time stay unknown.
        crowding: atoms of the rank divided by those of the mean rank.
    """
    density = crowding * system.density
    reach = model.cutoff + system.skin
    atoms = density * math.prod(system.block)
    volumes = remote_volumes(system.block, system.grid, effective_reaches(density, reach))
    remote = min(density * sum(volumes), max(0.0, system.n_atoms - atoms))
    counts = Estimate(
        atoms=atoms,
        edges=atoms * edges_per_atom(density, model.cutoff),
        ghosts=density * shell_volume(system.block, reach),
        remote=remote,
        messages=sum(1 - math.exp(-density * volume) for volume in volumes),
        layer_bytes=remote * model.bytes_per_number * sum(model.layer_widths) / len(model.layer_widths),
        step_bytes=remote * model.bytes_per_number * model.numbers_per_step,
    )
    return counts if rates is None else _with_costs(counts, model, rates)


def edges_per_atom(density: float, cutoff: float) -> float:
    """Neighbors within the cutoff, without the skin, at uniform density."""
    return density * 4 / 3 * math.pi * cutoff**3


def _with_costs(counts: Estimate, model: ModelSize, rates: Rates) -> Estimate:
    memory = (
        rates.bytes_fixed
        + counts.atoms * rates.bytes_per_atom
        + counts.edges * rates.bytes_per_edge
        + counts.remote * rates.bytes_per_remote
    )
    exchange = model.exchanges * counts.messages * rates.message_latency + counts.step_bytes / rates.bandwidth
    compute = rates.seconds_fixed + counts.atoms * rates.seconds_per_atom + counts.edges * rates.seconds_per_edge
    return Estimate(
        **{**vars(counts), "memory": memory, "seconds": compute + exchange, "exchange_seconds": exchange},
    )
