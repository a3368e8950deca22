"""Time and memory per atom against the number of atoms, up to what the memory holds.

Question: is the time per atom the same from 10^3 atoms to as many as fit (aim: within 5 %), and how much memory does an
atom take (aim: 26 KB by the pair style's own count)?

Predicted: an evaluation goes through the edges in blocks that stay in the caches, so its time is proportional to them;
rows of neighbors come from the caches while boxes are small and from memory later, which atoms that are sorted in space
hide mostly. The engine keeps d x C numbers (2 KB) per atom for the input of each of 4 layers, for the sums of 3 and for
3 work arrays, C numbers (0.5 KB) for the last sum and 2 scalar rows, and per edge 4 x 4 attention weights and 3
gradients: 25 KB at 37.8 edges per atom. The graph adds 1 KB, LAMMPS's neighbor list with its skin 0.5 KB.

One process per size, whose first evaluation, when the run is set up, warms it up. Times are CPU times of one thread and
hold the whole step, but no new neighbor list. Memory beside the pair style's own count: the peak of the process over
what it held with the model and 192 atoms, so with all that LAMMPS needs. The largest size is the last one that should
fit in --memory-gb, judged by the one before.

Usage: python benchmarks/cpu/growth.py [--memory-gb GB] [--most ATOMS] [--steps N] [--output FILE]
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from pathlib import Path

from lammps_worker import Measured, Request, measure
from matplotlib.figure import Figure
from random_model import random_archive, size_text
from report import machine, parser, publish, verdict
from water import ATOMS

COPIES = ((1, 2, 3), *((n, n, n) for n in (2, 3, 4, 6, 8, 10, 12, 14, 17, 20)))
#: Aims: largest time per atom over smallest, KB per atom by the pair style's count.
FLAT, KILOBYTES = 1.05, 26
#: What a size may take more per atom than the one before tells.
MARGIN = 1.05


def grow(archive: Path, limit: float, most: int, steps: int) -> tuple[list[Measured], str]:
    """All sizes up to the limit (bytes) and ``most`` atoms, and why there is no larger one."""
    found: list[Measured] = []
    for copies in COPIES:
        n_atoms = ATOMS * math.prod(copies)
        need = MARGIN * n_atoms * found[-1].grown / found[-1].atoms if found else 0.0
        if n_atoms > most:
            return found, f"No more than {most:,} atoms were asked for."
        if need > limit:
            return found, f"{n_atoms:,} atoms would take {need / 1e9:.1f} GB, more than {limit / 1e9:.0f}."
        found.append(measure(Request(str(archive), copies, blocks=steps, steps=1)))
        print(found[-1], file=sys.stderr, flush=True)
    return found, ""


def per_atom(row: Measured) -> float:
    """Microseconds of a step, median."""
    return 1e6 * statistics.median(row.cpu) / row.atoms


def table(found: list[Measured]) -> list[str]:
    """One row per size."""
    lines = [
        "| atoms | us per atom and step | slowest and fastest step | KB per atom, own count | KB per atom, process |",
        "|---|---|---|---|---|",
    ]
    for row in found:
        ends = " .. ".join(f"{1e6 * end(row.cpu) / row.atoms:.1f}" for end in (max, min))
        own, process = (f"{size / row.atoms / 1e3:.1f}" for size in (row.engine, row.grown))
        lines.append(f"| {row.atoms:,} | {per_atom(row):.1f} | {ends} | {own} | {process} |")
    return lines


def summary(found: list[Measured], end: str) -> list[str]:
    """The aims."""
    times = [per_atom(row) for row in found]
    flat, largest = max(times) / min(times), found[-1]
    own, process = (size / largest.atoms / 1e3 for size in (largest.engine, largest.grown))
    return [
        f"Largest over smallest time per atom: {flat:.3f} (aim {FLAT}: {verdict(flat <= FLAT)}). "
        f"Memory at {largest.atoms:,} atoms: {own:.1f} KB per atom by the pair style's count "
        f"(aim {KILOBYTES}: {verdict(own <= KILOBYTES)}), {process:.1f} KB of the process. {end}"
    ]


def draw(found: list[Measured]) -> Figure:
    """Time and memory per atom against atoms."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    atoms = [row.atoms for row in found]
    times.semilogx(atoms, [per_atom(row) for row in found], "o-")
    times.set(xlabel="atoms", ylabel="us per atom and step", ylim=(0, 1.2 * max(per_atom(row) for row in found)))
    memory.semilogx(atoms, [row.grown / row.atoms / 1e3 for row in found], "s-", label="process")
    memory.semilogx(atoms, [row.engine / row.atoms / 1e3 for row in found], "o-", label="pair style's count")
    memory.axhline(KILOBYTES, color="gray", ls="--", label="aim")
    memory.set(xlabel="atoms", ylabel="KB per atom", ylim=(0, 1.2e-3 * max(row.grown / row.atoms for row in found)))
    memory.legend()
    for panel in (times, memory):
        panel.grid(alpha=0.3)
    return figure


def main() -> None:
    """Measure size by size, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--memory-gb", type=float, default=12.0, help="what a run may take")
    arguments.add_argument("--most", type=int, default=2_000_000, help="atoms of the largest size")
    arguments.add_argument("--steps", type=int, default=3, help="timed steps of each size")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, end = grow(random_archive(Path(folder)), 1e9 * options.memory_gb, options.most, options.steps)
    lines = [
        "# Time and memory per atom against atoms",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/growth.py`, medians of {options.steps} steps.",
        f"Water, energy and forces in LAMMPS; {size_text()}, float32, random weights.",
        "Process: growth of its peak over the model and 192 atoms; it holds what LAMMPS needs as well.",
        "",
        *table(found),
        "",
        *summary(found, end),
    ]
    publish(lines, options.output, draw(found))


if __name__ == "__main__":
    main()
