"""What LAMMPS adds to the model's own time, and what a second rank brings: water, shipped archive, one thread each.

Question: time of a step in LAMMPS over the time of the same archive's evaluator on the same edges (aim <= 1.03), and
speed of 2 ranks on 2 cores over 1 rank on 1 core. Figures are process CPU times, since cores are shared; the speed-up
of 2 ranks is by wall time and means something on an idle machine only.

Usage: python benchmarks/cpu/lammps_water.py [--steps N] [--copies N] [--output FILE]
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from ase.io import read
from report import machine, parser, publish

import tdn
from tdn import _core
from tdn.data import graph_from_atoms
from tdn.training.malloc import keep_freed_pages

WATER = Path(__file__).parents[2] / "examples" / "water"
BIN = Path(sys.executable).parent
INPUT = """
units metal
atom_style atomic
read_data {folder}/data.water
replicate {copies} {copies} {copies}
pair_style tdn device cpu
pair_coeff * * {folder}/water.tdn.pt O H
timestep 0.0005
fix 1 all nve
run 5
run {steps}
"""


def lammps(copies: int, steps: int, n_ranks: int) -> tuple[float, float]:
    """CPU seconds of one rank and wall seconds per step."""
    start = [str(BIN / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    text = INPUT.format(folder=WATER, copies=copies, steps=steps)
    command = [*start, str(BIN / "lmp"), "-in", "/dev/stdin", "-log", "none"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    wall = float(re.findall(r"Loop time of ([\d.e+-]+)", done.stdout)[-1]) / steps
    use = float(re.findall(r"([\d.]+)% CPU use", done.stdout)[-1]) / 100
    return wall * use, wall


def evaluator(copies: int, steps: int) -> tuple[float, int, float]:
    """CPU seconds per evaluation, atoms, edges per atom."""
    atoms = read(WATER / "data.water", format="lammps-data", atom_style="atomic").repeat(copies)
    model = _core.Evaluator(str(WATER / "water.tdn.pt"), "cpu")
    label = tdn.load(WATER / "water.tdn.pt")
    graph = graph_from_atoms(atoms, label.elements, label.cutoff).to(dtype=label.dtype)
    times = []
    for _ in range(steps + 5):
        begin = time.process_time()
        model.evaluate(graph.species, graph.center, graph.neighbor, graph.vectors)
        times.append(time.process_time() - begin)
    return statistics.median(times[5:]), len(atoms), len(graph.center) / len(atoms)


def main() -> None:
    """Measure in alternation, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--copies", type=int, nargs="+", default=[1, 2])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    keep_freed_pages()  # the pair style does the same
    lines = [
        f"{machine()}, 1 thread per rank",
        f"{'atoms':>6} {'edges/atom':>10} {'LAMMPS ms':>10} {'model ms':>9} {'ratio':>6} {'us/atom':>8} "
        f"{'2 ranks, wall speed-up':>23}",
    ]
    for copies in options.copies:
        pairs = [(lammps(copies, options.steps, 1), evaluator(copies, options.steps)) for _ in range(3)]
        step = statistics.median(p[0][0] for p in pairs)
        wall = statistics.median(p[0][1] for p in pairs)
        model = statistics.median(p[1][0] for p in pairs)
        ratio = statistics.median(p[0][0] / p[1][0] for p in pairs)
        n_atoms, density = pairs[0][1][1:]
        speed_up = wall / lammps(copies, options.steps, 2)[1]
        lines.append(
            f"{n_atoms:>6} {density:>10.1f} {1e3 * step:>10.1f} {1e3 * model:>9.1f} {ratio:>6.2f} "
            f"{1e6 * step / n_atoms:>8.0f} {speed_up:>23.2f}"
        )
    publish(lines, options.output)


if __name__ == "__main__":
    main()
