"""Time, operations and bytes of the stages of a deployed model on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from ase import Atoms

from tdn.config.architectures import stored_config
from tdn.config.model import ModelConfig
from tdn.data import graph_from_atoms
from tdn.data.graph import Graph
from tdn.deployment.deployed import DeployedModel
from tdn.errors import TDNError
from tdn.plan.measure import typical_degree
from tdn.plan.stages import Count, count_stages


@dataclass(frozen=True)
class Profile:
    """Costs of one evaluation of energy and gradient; times are CPU seconds of all threads."""

    engine: str
    n_atoms: int
    n_edges: int
    seconds: float  #: one evaluation, median
    stages: dict[str, float]  #: seconds by stage; empty if the engine does not measure them
    counts: dict[str, Count]
    bytes_per_atom: float  #: kept by the engine from step to step
    peak: float  #: operations/s of multiply-adds in registers, one core
    product: float  #: operations/s of the engine's matrix products, one core
    bandwidth: float  #: bytes/s of a large copy, read and written bytes counted


def profile(archive: str | Path, make_graph: Callable[[DeployedModel], Graph], repeats: int) -> Profile:
    """Evaluate the archive on the graph, a few times.

    Raises:
        TDNError: the archive holds no configuration of a model (it was not made by tdn deploy).
    """
    from tdn import _core

    model = DeployedModel(archive)
    if "model_config" not in model.label:
        raise TDNError(
            f"the label of '{archive}' has no model_config, so its stages are unknown; deploy the model again"
        )
    graph = make_graph(model).to(dtype=model.dtype)
    edges = [tensor.numpy() for tensor in (graph.species, graph.center, graph.neighbor, graph.vectors)]
    threads = torch.get_num_threads()
    evaluator = model.evaluator
    evaluator.evaluate(*edges, n_threads=threads)
    seconds = [timed(lambda: evaluator.evaluate(*edges, n_threads=threads)) for _ in range(repeats)]
    evaluator.start_times()
    for _ in range(repeats):
        evaluator.evaluate(*edges, n_threads=threads)
    config = stored_config(model.label["model_config"])
    assert isinstance(config, ModelConfig)
    n_atoms, n_edges = len(graph.species), len(graph.center)
    peak, product = _core.rates(str(model.dtype).removeprefix("torch."))
    return Profile(
        engine=evaluator.engine,
        n_atoms=n_atoms,
        n_edges=n_edges,
        seconds=statistics.median(seconds),
        stages={name: spent / repeats for name, spent in evaluator.times.items()},
        counts=count_stages(config, n_atoms, n_edges, model.dtype.itemsize),
        bytes_per_atom=evaluator.kept_bytes / max(n_atoms, 1),
        peak=peak,
        product=product,
        bandwidth=copy_bandwidth(),
    )


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def copy_bandwidth() -> float:
    """Bytes/s, read and written, of the best of five copies of 128 MB."""
    source = torch.ones(2**25)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source)) for _ in range(5))


def lattice_graph(model: DeployedModel, n_atoms: int) -> Graph:
    """At least ``n_atoms`` on a perturbed simple cubic lattice, with as many neighbors as in the training data."""
    import numpy as np

    degree = typical_degree(model.label, None)
    spacing = model.cutoff * (4.18879 / (degree + 1)) ** (1 / 3)
    cells = max(1, round(n_atoms ** (1 / 3)))
    while cells**3 < n_atoms:
        cells += 1
    random = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = spacing * (grid + random.uniform(-0.1, 0.1, grid.shape))
    symbols = random.choice(list(model.elements), len(grid))
    return graph_from_atoms(
        Atoms(symbols, positions, cell=[cells * spacing] * 3, pbc=True), model.elements, model.cutoff
    )


def report(result: Profile) -> str:
    """The table as text: for every stage time, share, rates and the floor set by the machine."""
    lines = [
        f"engine {result.engine}, {result.n_atoms} atoms, {result.n_edges / max(result.n_atoms, 1):.1f} edges per atom",
        f"{1e6 * result.seconds / max(result.n_atoms, 1):.1f} us per atom and step, "
        f"{result.bytes_per_atom / 1e3:.1f} KB per atom kept by the engine",
    ]
    if not result.peak or not result.stages:
        return "\n".join([*lines, f"engine {result.engine} does not time its stages"])
    lines += [
        f"one core: {result.peak / 1e9:.0f} GFLOP/s in registers, {result.product / 1e9:.0f} in matrix products, "
        f"{result.bandwidth / 1e9:.0f} GB/s copied",
        f"{'stage':<20}{'ms':>9}{'share':>8}{'GFLOP':>9}{'GFLOP/s':>9}{'MB':>9}{'floor ms':>10}{'x floor':>9}",
    ]
    total = sum(result.stages.values())
    for name, spent in sorted(result.stages.items(), key=lambda item: -item[1]):
        lines.append(stage_line(name, spent, spent / total, result.counts.get(name), result))
    everything = Count(sum(c.operations for c in result.counts.values()), sum(c.bytes for c in result.counts.values()))
    lines.append(stage_line("all", total, 1.0, everything, result))
    return "\n".join(lines)


def stage_line(name: str, spent: float, share: float, count: Count | None, result: Profile) -> str:
    """One row."""
    line = f"{name:<20}{1e3 * spent:>9.2f}{100 * share:>7.1f}%"
    if count is None or spent == 0:
        return line
    floor = count.floor(result.peak, result.bandwidth) if result.peak else 0.0
    rate = f"{count.operations / spent / 1e9:>9.0f}"
    times = f"{spent / floor:>9.2f}" if floor else ""
    return f"{line}{count.operations / 1e9:>9.2f}{rate}{count.bytes / 1e6:>9.1f}{1e3 * floor:>10.2f}{times}"
