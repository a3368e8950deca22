"""A fresh process that evaluates energy and forces of a water box with one code: CPU time, memory, arithmetic as JSON.

Started by published_order.py:  step_worker.py CODE MODEL ATOMS EVALUATIONS
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from arithmetic import Multiplications
from ase import Atoms
from published_model import PublishedOrder
from report import forget_peak, peak_memory
from water import water_box

from tdn.checkpoints import load_model
from tdn.data import graph_from_atoms
from tdn.malloc import keep_freed_pages

#: Copies of the box of 192 atoms.
COPIES = {192: (1, 1, 1), 1152: (2, 3, 1), 10368: (3, 6, 3)}


def in_python(code: str, model: Path, atoms: Atoms) -> tuple[Callable[[], object], float]:
    """The evaluation, and edges per atom; our model is tuned as the pair style and training are."""
    ours = load_model(model).in_dtype(torch.float32).requires_grad_(False)
    graph = graph_from_atoms(atoms, ours.elements, ours.cutoff).to(dtype=torch.float32)
    run = PublishedOrder(ours) if code.startswith("published") else ours
    if code != "published":
        keep_freed_pages()
    return lambda: run(graph), len(graph.center) / len(atoms)


def in_lammps(archive: Path, atoms: Atoms) -> Callable[[], object]:
    """One step; the first call sets the run up, which evaluates once as well."""
    from tdn.lammps import Simulation

    simulation = Simulation(atoms, archive, keywords="device cpu forces gradient")
    simulation.command("timestep 0.0005\nfix 1 all nve\nthermo 1000000")
    commands = iter(["run 0 post no"])
    return lambda: simulation.command(next(commands, "run 1 pre no post no"))


def main() -> None:
    """Evaluate once for memory and warming up, then ``EVALUATIONS`` times for time."""
    code, model, n_atoms, n_evaluations = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    atoms, found = water_box(COPIES[n_atoms]), {}
    if code.startswith("LAMMPS"):
        step = in_lammps(model, atoms)
    else:
        step, found["edges"] = in_python(code, model, atoms)
    forget_peak()
    before, seconds = peak_memory(), []
    step()
    for _ in range(n_evaluations):
        begin = time.process_time()
        step()
        seconds.append(time.process_time() - begin)
    found |= {"seconds": statistics.median(seconds), "memory": peak_memory() - before}
    if "edges" in found and n_atoms == min(COPIES):
        with Multiplications() as count:
            step()
        found["flops"] = 2 * count.matrix
    print(json.dumps(found))


if __name__ == "__main__":
    main()
