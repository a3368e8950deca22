"""What LAMMPS adds to the model's own time: a step of water over the evaluation of the same archive from Python.

Question: time of a step in LAMMPS, with all that belongs to it, over the time of the same archive's evaluator on the
same edges (aim <= 1.03), for the wide model of the benchmarks and for the shipped one?

Predicted: integration and thermo output cost nanoseconds per atom; a list of 114 neighbors per atom is searched for 38
edges in every step (0.5 us per atom, of 500 for the wide and 100 for the shipped model) and is rebuilt in every tenth
step here, a few microseconds per atom each time. So 1.01 for the wide model and 1.02 for the shipped one.

Both are timed in one process and in alternation, blocks of steps against as many evaluations of the structure where
the block ended, atoms in LAMMPS's order; CPU times of one thread, medians of the pairs. The evaluator is given a ready
graph, so its time is without any search for neighbors.

Usage: python benchmarks/cpu/lammps_water.py [--model wide shipped] [--steps N] [--repeats N] [--output FILE]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from lammps_worker import SETTINGS
from matplotlib.figure import Figure
from random_model import random_archive, size_text
from report import machine, parser, publish, verdict
from water import ROOT, water_box

from tdn.data import graph_from_atoms
from tdn.deployment.deployed import DeployedModel
from tdn.lammps import Simulation
from tdn.malloc import keep_freed_pages

ELEMENTS = ["O", "H"]  # of LAMMPS's types
SHIPPED = ROOT / "examples/water/water.tdn.pt"
NAMES = {"wide": f"wide ({size_text()})", "shipped": "shipped (`examples/water`)"}
#: Aim.
RATIO = 1.03
WARM_UP = 2  # blocks


@dataclass(frozen=True)
class Compared:
    """One model on one box; CPU seconds of a step or an evaluation, pair by pair."""

    name: str
    engine: str
    atoms: int
    edges: float  #: per atom
    lammps: list[float]
    model: list[float]

    @property
    def ratio(self) -> float:
        """Median over the pairs."""
        return statistics.median(a / b for a, b in zip(self.lammps, self.model, strict=True))


def present_edges(simulation: Simulation, model: DeployedModel) -> tuple[np.ndarray, ...]:
    """Where LAMMPS is now, atoms in its own order: species, center, neighbor, vectors."""
    arrays, n_atoms = simulation.lmp.numpy, simulation.lmp.extract_setting("nlocal")
    symbols = [ELEMENTS[kind - 1] for kind in arrays.extract_atom("type")[:n_atoms]]
    low, high, *_ = simulation.lmp.extract_box()
    sides = [b - a for a, b in zip(low, high, strict=True)]
    atoms = Atoms(symbols, arrays.extract_atom("x")[:n_atoms].copy(), cell=sides, pbc=True)
    graph = graph_from_atoms(atoms, model.elements, model.cutoff).to(dtype=model.dtype)
    return tuple(tensor.numpy() for tensor in (graph.species, graph.center, graph.neighbor, graph.vectors))


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def evaluate(model: DeployedModel, edges: tuple[np.ndarray, ...], times: int) -> None:
    """The evaluation of a step, without what LAMMPS adds."""
    for _ in range(times):
        model.evaluator.evaluate(*edges, n_threads=1)


def compare(name: str, archive: Path, copies: tuple[int, int, int], steps: int, repeats: int) -> Compared:
    """Blocks of steps and of evaluations in alternation."""
    model = DeployedModel(archive)
    with Simulation(water_box(copies), archive, elements=ELEMENTS, keywords="device cpu") as simulation:
        simulation.command(SETTINGS + "run 0 post no")
        lammps, python = [], []
        for _ in range(WARM_UP + repeats):
            lammps.append(seconds(lambda: simulation.command(f"run {steps} pre no post no")) / steps)
            edges = present_edges(simulation, model)
            python.append(seconds(partial(evaluate, model, edges, steps)) / steps)
            print(name, len(edges[0]), lammps[-1], python[-1], file=sys.stderr, flush=True)
    n_atoms, n_edges = len(edges[0]), len(edges[1])
    engine = model.evaluator.engine
    return Compared(name, engine, n_atoms, n_edges / n_atoms, lammps[WARM_UP:], python[WARM_UP:])


def table(found: list[Compared]) -> list[str]:
    """One row per model and box."""
    lines = [
        "| model | engine | atoms | edges per atom | LAMMPS, ms per step | model, ms | ratio | us per atom and step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        step, model = statistics.median(row.lammps), statistics.median(row.model)
        lines.append(
            f"| {NAMES[row.name]} | {row.engine} | {row.atoms:,} | {row.edges:.1f} | {1e3 * step:.2f} | "
            f"{1e3 * model:.2f} | {row.ratio:.3f} | {1e6 * step / row.atoms:.1f} |"
        )
    return lines


def summary(found: list[Compared]) -> list[str]:
    """The aim, by model."""
    lines = []
    for name in dict.fromkeys(row.name for row in found):
        worst = max(row.ratio for row in found if row.name == name)
        lines.append(f"{NAMES[name]}: at most {worst:.3f} (aim {RATIO}: {verdict(worst <= RATIO)}).")
    return ["\n\n".join(lines)]


def draw(found: list[Compared]) -> Figure:
    """Ratios of all pairs."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(found):
        ratios = [a / b for a, b in zip(row.lammps, row.model, strict=True)]
        axes.plot([place] * len(ratios), ratios, ".", color="gray")
        axes.plot(place, row.ratio, "D", color="C0")
    axes.axhline(RATIO, color="C3", ls="--", label="aim")
    axes.set_xticks(range(len(found)), [f"{row.name}\n{row.atoms:,} atoms" for row in found])
    axes.set(ylabel="LAMMPS / model alone", xlim=(-0.5, len(found) - 0.5))
    axes.legend()
    return figure


def main() -> None:
    """Measure in alternation, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--model", nargs="+", choices=list(NAMES), default=list(NAMES))
    arguments.add_argument("--steps", type=int, default=10, help="of a block")
    arguments.add_argument("--repeats", type=int, default=9, help="blocks")
    arguments.add_argument("--copies", type=int, nargs="+", default=[1, 2], help="along each side of the box")
    options = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by LAMMPS
    torch.set_num_threads(1)
    keep_freed_pages()  # the pair style does the same
    with tempfile.TemporaryDirectory() as folder:
        archives = {name: random_archive(Path(folder)) if name == "wide" else SHIPPED for name in options.model}
        found = [
            compare(name, archive, (n, n, n), options.steps, options.repeats)
            for name, archive in archives.items()
            for n in options.copies
        ]
    lines = [
        "# A step in LAMMPS over the model alone",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/lammps_water.py`, medians of {options.repeats} pairs of "
        f"{options.steps} steps and evaluations.",
        "Water, energy and forces, float32; the wide model has random weights. A step is all that LAMMPS does, with a",
        "new neighbor list in every tenth.",
        "",
        *table(found),
        "",
        *summary(found),
    ]
    publish(lines, options.output, draw(found))


if __name__ == "__main__":
    main()
