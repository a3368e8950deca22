"""Share of the exchange in a step, weak scaling from one to two ranks, and whether overlapping messages with work pays.

Questions: (1) which share of a step do messages take on 2 ranks of about 2,000 atoms each (aim: below 3 %), and how
much of it is waiting; (2) how fast are 2 ranks of n atoms beside 1 rank of n atoms (aim: 95 %), and beside two programs
of one rank each that run at the same time and send nothing, which have the same cores, caches and memory; (3) messages
could travel while edges whose neighbor is owned are worked on: that hides at most their time, and costs what it costs
to work on the edges of a layer in two blocks of centers instead of one.

Predicted: water has 38 edges and, at 1,920 atoms per rank, about one remote atom per owned atom; a row of C = 32 and
l_max 1 is 512 bytes, so 6 exchanges move 6 MB per rank and step: 2 ms at 3 GB/s of copies, against 650 ms of work.

Usage: python benchmarks/cpu/exchange.py [--steps N] [--repeats N] [--output FILE]     on an idle machine
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch
from ase.io import read
from report import machine, parser, publish

import tdn
from tdn.data import graph_from_atoms
from tdn.malloc import keep_freed_pages
from tdn.plan.measure import messages as cost_of_messages

WATER = Path(__file__).parents[2] / "examples" / "water"
BIN = Path(sys.executable).parent
INPUT = """
units metal
atom_style atomic
processors * 1 1
read_data {folder}/data.water
replicate {copies} 5 1
pair_style tdn device cpu
pair_coeff * * {folder}/water.tdn.pt O H
timestep 0.0005
fix 1 all nve
run 2
run {steps}
"""
#: Share of the centers of a rank whose neighbors are all owned: a slab of 24.9 angstrom with two cut faces.
INTERIOR = 1 - 2 * 4.5 / 24.9


def start(n_ranks: int, copies: int, steps: int) -> subprocess.Popen[str]:
    """Start a run of water, ``copies`` x 5 x 1 boxes of 192 atoms."""
    command = [BIN / "mpirun", "-n", str(n_ranks)] if n_ranks > 1 else []
    command += [BIN / "lmp", "-in", "/dev/stdin", "-log", "none"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdin is not None
    process.stdin.write(INPUT.format(folder=WATER, copies=copies, steps=steps))
    process.stdin.close()
    return process


def result(process: subprocess.Popen[str], steps: int) -> dict[str, float]:
    """Wall and CPU seconds per step, share of messages and of waiting in percent; waiting burns CPU time too."""
    assert process.stdout is not None
    text = process.stdout.read()
    if process.wait() != 0:
        sys.exit(text)
    shares = re.findall(r"messages (\S+) % of its time, (\S+) % of it waiting", text)[-1]
    loop = float(re.findall(r"Loop time of (\S+)", text)[-1]) / steps
    use = float(re.findall(r"(\S+)% CPU use", text)[-1]) / 100
    messages, waiting = (float(share) for share in shares)
    megabytes = float(re.findall(r"MB per step\s+(\S+)", text)[-1])
    work = loop * (use - waiting / 100)
    return {"wall": loop, "work": work, "use": use, "messages": messages, "waiting": waiting, "MB": megabytes}


def transfer(megabytes: float) -> float:
    """Seconds that a message of this size takes between two ranks, nothing else going on."""
    cost = cost_of_messages()
    return cost["message_latency"] + megabytes * 1e6 / cost["bandwidth"]


def measure(steps: int, repeats: int) -> list[str]:
    """One rank, two ranks, two independent programs, in alternation."""
    one, two, apart = [], [], []
    for _ in range(repeats):
        one.append(result(start(1, 2, steps), steps))
        two.append(result(start(2, 4, steps), steps))
        pair = [start(1, 2, steps) for _ in range(2)]
        ended = [result(process, steps) for process in pair]
        apart.append({key: statistics.mean(run[key] for run in ended) for key in ended[0]})
    rows = {"1 rank": one, "2 ranks": two, "2 programs of 1 rank at the same time": apart}
    lines = [
        "| 1,920 atoms per rank | wall, ms per step | CPU use, % | CPU work without waiting, ms per step |",
        "|---|---|---|---|",
    ]
    for name, runs in rows.items():
        wall, use, work = (statistics.median(run[key] for run in runs) for key in ("wall", "use", "work"))
        lines.append(f"| {name} | {1e3 * wall:.0f} | {100 * use:.0f} | {1e3 * work:.0f} |")
    return [*lines, "", *shares(one, two, apart)]


def shares(one: list[dict[str, float]], two: list[dict[str, float]], apart: list[dict[str, float]]) -> list[str]:
    """Scaling, and what messages cost."""

    def ratio(key: str, first: list[dict[str, float]]) -> float:
        return 100 * statistics.median(a[key] / b[key] for a, b in zip(first, two, strict=True))

    median = {key: statistics.median(run[key] for run in two) for key in two[0]}
    packing = median["messages"] - median["waiting"]
    passing = 100 * 6 * transfer(median["MB"] / 6) / median["wall"]
    return [
        "| quantity | % |",
        "|---|---|",
        f"| weak scaling 1 -> 2 ranks, wall | {ratio('wall', one):.1f} |",
        f"| weak scaling 1 -> 2 ranks, CPU work without waiting | {ratio('work', one):.1f} |",
        f"| 2 ranks against 2 programs, CPU work without waiting | {ratio('work', apart):.1f} |",
        f"| messages, of a step: packing and adding up | {packing:.2f} |",
        f"| messages, of a step: transfer of 6 x {median['MB'] / 6:.2f} MB, measured alone | {passing:.2f} |",
        f"| waiting until the other rank is there, of a step | {median['waiting']:.1f} |",
    ]


class LayerWork:
    """Forward and backward of one layer of the archive on 1,920 water atoms."""

    def __init__(self) -> None:
        archive = tdn.load(WATER / "water.tdn.pt")
        atoms = read(WATER / "data.water", format="lammps-data", atom_style="atomic").repeat((2, 5, 1))
        graph = graph_from_atoms(atoms, archive.elements, archive.cutoff).to(dtype=archive.dtype)
        module = torch.jit.load(WATER / "water.tdn.pt")
        self.layer = getattr(module.layers, "1")
        self.center, self.neighbor = graph.center, graph.neighbor
        self.pair = graph.species[graph.center] * len(archive.elements) + graph.species[graph.neighbor]
        with torch.no_grad():
            self.features = module.edge_features(graph.vectors, self.pair)
            self.x = module.embed(graph.species, graph.center, self.pair, self.features)
            self.rows = self.layer.send(self.x)

    def block(self, first: int, last: int) -> None:
        """Centers first .. last - 1."""
        begin, end = (int(torch.searchsorted(self.center, k)) for k in (first, last))
        x = self.x[first:last].detach().requires_grad_()
        rows = self.rows.detach().requires_grad_()
        features = [feature[begin:end].detach().requires_grad_() for feature in self.features]
        edges = (self.center[begin:end] - first, self.neighbor[begin:end], self.pair[begin:end])
        out = self.layer.update(x, rows, *edges, features)
        torch.autograd.grad(out.sum(), [x, rows, *features])

    def seconds(self, cuts: list[int]) -> float:
        """CPU time of the blocks between the cuts."""
        begin = time.process_time()
        for first, last in pairwise(cuts):
            self.block(first, last)
        return time.process_time() - begin


def splitting(repeats: int) -> str:
    """What two blocks of centers cost beside one."""
    work = LayerWork()
    n = len(work.x)
    ratios = []
    for _ in range(5 * repeats):
        whole, split = work.seconds([0, n]), work.seconds([0, int(INTERIOR * n), n])
        ratios.append(split / whole)
    return f"| a layer in two blocks of centers, of the time in one block | {100 * statistics.median(ratios[2:]):.1f} |"


def main() -> None:
    """Measure and print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    keep_freed_pages()  # the pair style does the same
    torch._C._set_graph_executor_optimize(False)  # as the pair style does
    lines = [
        "# Exchange between two ranks",
        "",
        f"{machine()}, 1 thread per rank.",
        "Water model of `examples/water` (C = 32, l_max 1, 3 layers, float32).",
        "Made by `benchmarks/cpu/exchange.py`, medians.",
        "",
        *measure(options.steps, options.repeats),
        splitting(options.repeats),
    ]
    publish(lines, options.output)


if __name__ == "__main__":
    main()
