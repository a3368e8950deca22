"""One and two ranks, one and two threads: speed-up on the same box, and weak scaling of ranks.

Question: how much faster are 2 threads than 1 on two free cores (aim: 1.9 times), and how efficient are 2 ranks of n
atoms beside 1 rank of n (aim: 95 %)? Do `package omp 2` and OMP_NUM_THREADS=2 give the same bits, at the same speed?

Predicted: threads share the centers of a step in parts of equal numbers of edges; what is not shared is LAMMPS's own
work and the graph, below 2 % of a step. Each thread but the first adds the gradients of neighbors to rows of its own,
which are summed later: 2 KB per atom, written and read, 0.5 us of 500. Two ranks exchange 8 x 2 KB per remote atom, of
which there is one per owned atom in such small boxes: 16 KB at 5 GB/s are 3 us per atom. So 1.95 times by both ways.

Threads are OpenMP's. By default they wait for each other in busy loops, which is best on free cores; where others want
the same cores, OMP_WAIT_POLICY=passive lets them sleep, so there is a row for each. Fresh processes in alternation.
Wall times mean something on an idle machine only, so CPU times of all threads and ranks are beside them. They hold busy
waiting, of threads and of ranks; that of ranks is taken off by the share of the time that the pair style waited (too
much where the cores are shared). Forces of every way are compared with those of one thread, on the same box.

Usage: python benchmarks/cpu/parallel.py [--copies X Y Z] [--steps N] [--repeats N] [--output FILE]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lammps_worker import Measured, Request, measure
from matplotlib.figure import Figure
from random_model import random_archive, size_text
from report import machine, parser, publish, verdict

#: Aims: 2 threads over 1, weak efficiency of 2 ranks.
FASTER, EFFICIENCY = 1.9, 0.95
BLOCKS = 3  # timed on their own, in each process
POLICY = "OMP_WAIT_POLICY"


@dataclass(frozen=True)
class Way:
    """How a run uses the cores."""

    name: str
    ranks: int = 1
    threads: int = 1
    before: str = ""
    policy: str = ""  #: of OpenMP's waiting
    longer: int = 1  #: the box, along x


ONE, THREADS, PACKAGE, RANKS, WEAK = "1 thread", "2 threads", "2 threads, package omp 2", "2 ranks", "2 ranks, 2 boxes"
WAYS = (
    Way(ONE),
    Way(THREADS, threads=2),
    Way("2 threads, passive waiting", threads=2, policy="passive"),
    Way(PACKAGE, before="package omp 2"),
    Way(RANKS, ranks=2),
    Way(WEAK, ranks=2, longer=2),
)
Results = dict[str, list[Measured]]


def run(way: Way, request: Request) -> Measured:
    """One way, in fresh processes."""
    x, y, z = request.copies
    request = replace(request, copies=(way.longer * x, y, z), before=way.before)
    os.environ.pop(POLICY, None)
    if way.policy:
        os.environ[POLICY] = way.policy
    return measure(request, way.ranks, way.threads)


def cost(found: Measured, kind: str) -> float:
    """Seconds of a step: wall, cpu, or work, which is CPU time without the waiting of ranks for each other."""
    if kind == "work":
        return cost(found, "cpu") * (1 - found.waiting)
    return statistics.median(getattr(found, kind))


def ratio(results: Results, way: Way, kind: str) -> float:
    """Time of one thread over that of a way, median over the repeats; per box: 2 at best for wall, 1 for CPU times."""
    pairs = zip(results[ONE], results[way.name], strict=True)
    return way.longer * statistics.median(cost(one, kind) / cost(other, kind) for one, other in pairs)


def table(results: Results) -> list[str]:
    """One row per way; best is the fastest block of all repeats."""
    lines = [
        "| way | atoms | wall, ms per step: median | best | CPU, ms per step: median | best | waiting of ranks, % |"
        " wall, times faster per box: median | of the best | CPU of 1 thread over CPU without waiting, per box |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        found = results[way.name]
        figures = [1e3 * pick(x for run in found for x in run.wall) for pick in (statistics.median, min)]
        figures += [1e3 * pick(x for run in found for x in run.cpu) for pick in (statistics.median, min)]
        figures.append(100 * statistics.median(run.waiting for run in found))
        last = f"{ratio(results, way, 'wall'):.2f} | {best_ratio(results, way):.2f} | {ratio(results, way, 'work'):.2f}"
        figures_text = " | ".join(f"{figure:.1f}" for figure in figures)
        lines.append(f"| {way.name} | {found[0].atoms:,} | {figures_text} | {last} |")
    return lines


def best_ratio(results: Results, way: Way) -> float:
    """Speed over that of one thread, by the fastest blocks."""
    one, other = (min(x for run in results[name] for x in run.wall) for name in (ONE, way.name))
    return way.longer * one / other


def difference(results: Results, way: Way) -> float:
    """Largest difference of the forces to one thread, relative to the largest force."""
    one, other = (results[name][0].forces for name in (ONE, way.name))
    assert one is not None and other is not None
    return float(np.abs(other - one).max() / np.abs(one).max())


def same_bits(first: list[Measured], second: list[Measured]) -> bool:
    """Whether all runs of both have the same energy and forces to the last bit."""
    one = first[0]
    return all(
        run.energy == one.energy and np.array_equal(np.asarray(run.forces), np.asarray(one.forces))
        for run in (*first, *second)
    )


def summary(results: Results) -> list[str]:
    """Aims and agreement."""
    faster = {way.name: ratio(results, way, "wall") for way in WAYS}
    efficiency = faster[WEAK] / 2
    worst = max(difference(results, way) for way in WAYS if way.longer == 1)
    package = "the same" if same_bits(results[THREADS], results[PACKAGE]) else "different"
    equal = all(same_bits(results[way.name], results[way.name]) for way in WAYS)
    again = "agree to the last bit" if equal else "differ"
    repeated = f" Repeated runs {again}." if len(results[ONE]) > 1 else ""
    return [
        f"2 threads: {faster[THREADS]:.2f} times faster by wall time (aim {FASTER}: "
        f"{verdict(faster[THREADS] >= FASTER)}). 2 ranks: {faster[RANKS]:.2f} times on the same box, weak efficiency "
        f"{100 * efficiency:.1f} % (aim {100 * EFFICIENCY:.0f}: {verdict(efficiency >= EFFICIENCY)}).",
        "",
        f"`package omp 2` and OMP_NUM_THREADS=2 give {package} bits.{repeated} Forces of all ways on the same box "
        f"differ from those of one thread by at most {worst:.1e} of the largest.",
    ]


def draw(results: Results) -> Figure:
    """Speed-up by wall and CPU time."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(WAYS) - 1)
    for shift, kind, label in ((-0.2, "wall", "wall time"), (0.2, "work", "CPU time without waiting, x cores")):
        cores = 1 if kind == "wall" else 2
        heights = [cores * ratio(results, way, kind) for way in WAYS[1:]]
        axes.bar(places + shift, heights, 0.4, label=label)
    axes.axhline(2, color="gray", ls="--")
    axes.set_xticks(places, [way.name.replace(", ", ",\n") for way in WAYS[1:]])
    axes.set(ylabel="times faster than 1 thread, per box", ylim=(0, 2.8))
    axes.legend(loc="upper left", ncols=2)
    return figure


def main() -> None:
    """Measure in alternation, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--copies", type=int, nargs=3, default=[2, 2, 2], help="of the box of 192 atoms")
    arguments.add_argument("--steps", type=int, default=5, help=f"of each of {BLOCKS} blocks")
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    results: Results = {way.name: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        archive = random_archive(Path(folder))
        request = Request(str(archive), tuple(options.copies), BLOCKS, options.steps, forces=True)
        for _ in range(options.repeats):
            for way in WAYS:
                results[way.name].append(found := run(way, request))
                print(way.name, found.wall, found.cpu, file=sys.stderr, flush=True)
    lines = [
        "# Ranks and threads",
        "",
        f"{machine()}. Made by `benchmarks/cpu/parallel.py`, {options.repeats} repeats of {BLOCKS} blocks of "
        f"{options.steps} steps.",
        f"Water, energy and forces in LAMMPS; {size_text()}, float32, random weights.",
        "",
        *table(results),
        "",
        *summary(results),
    ]
    publish(lines, options.output, draw(results))


if __name__ == "__main__":
    main()
