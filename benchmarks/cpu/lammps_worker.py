"""A run of water in LAMMPS in processes of its own: times of steps, memory and forces.

:func:`measure` starts this file as a program, on one or several ranks. Times of a step hold all of it: forces, energy,
integration, communication and, in every tenth step, a new neighbor list.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import forget_peak, peak_memory
from water import water_box

#: After the box and the pair style.
SETTINGS = """
timestep 0.0001
fix integrate all nve
neigh_modify every 10 delay 0 check no
thermo 1000000
"""
TIMEOUT = 3600  # seconds of a run


@dataclass(frozen=True)
class Request:
    """What is run."""

    archive: str
    copies: tuple[int, int, int]  #: of the box of 192 atoms
    blocks: int  #: each is timed on its own
    steps: int  #: of a block
    before: str = ""  #: input lines before the box is made
    forces: bool = False  #: also return energy and forces of the first step


@dataclass(frozen=True)
class Measured:
    """What was found; times are per step, memory sums over ranks."""

    atoms: int
    wall: list[float]  #: seconds of each block, of the rank that took longest
    cpu: list[float]  #: seconds of each block, user and system, all threads and ranks
    grown: int  #: bytes of the processes' peak over what they held with the model and 192 atoms
    engine: float  #: bytes by the pair style's own count
    waiting: float  #: share of the pair style's time that passes until the other rank is there
    energy: float = 0.0  #: eV
    forces: np.ndarray | None = None  #: (n, 3) by atom ID, eV/angstrom


def measure(request: Request, n_ranks: int = 1, threads: int = 1) -> Measured:
    """Run fresh processes, ``OMP_NUM_THREADS=threads`` on each rank."""
    mpirun = [str(Path(sys.executable).parent / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [*mpirun, sys.executable, __file__, json.dumps(asdict(request)), folder]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode != 0:
            sys.exit(f"{request} failed:\n{done.stdout}{done.stderr}")
        found = json.loads((Path(folder) / "found.json").read_text())
        forces = np.load(Path(folder) / "forces.npy") if request.forces else None
    return Measured(**found, forces=forces)


def run(request: Request, folder: Path) -> None:
    """On every rank; the first one writes what was found."""
    from mpi4py import MPI

    from tdn.lammps import Simulation

    comm, log = MPI.COMM_WORLD, folder / "log.lammps"
    options: dict[str, Any] = {"elements": ["O", "H"], "keywords": "device cpu", "before": request.before}
    with Simulation(water_box(), request.archive, comm=comm, log=log, **options) as simulation:
        comm.Barrier()
        forget_peak()
        before = peak_memory()
        simulation.command("replicate {} {} {}".format(*request.copies) + SETTINGS)
        found = first_forces(simulation, request, folder) | {"atoms": int(simulation.lmp.get_natoms())}
        simulation.command("run 0 post no")
        blocks = [block_seconds(simulation, request.steps) for _ in range(request.blocks)]
        grown = comm.allreduce(peak_memory() - before)
    if comm.rank == 0:
        found |= {"wall": [b[0] for b in blocks], "cpu": [b[1] for b in blocks], "grown": grown}
        found |= from_log(log.read_text(), found["atoms"])
        (folder / "found.json").write_text(json.dumps(found))


def first_forces(simulation: Any, request: Request, folder: Path) -> dict[str, Any]:
    """Energy, and forces in a file, before anything moves."""
    if not request.forces:
        return {}
    result = simulation.evaluate(atom_virials=False, centroid_virials=False)
    if simulation.comm.rank == 0:
        np.save(folder / "forces.npy", result.forces)
    return {"energy": result.energy}


def block_seconds(simulation: Any, steps: int) -> tuple[float, float]:
    """Wall and CPU seconds of a step, from a block of them."""
    from mpi4py import MPI

    comm = simulation.comm
    comm.Barrier()
    begin = time.perf_counter(), time.process_time()
    simulation.command(f"run {steps} pre no post no")
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    return comm.allreduce(wall, MPI.MAX) / steps, comm.allreduce(cpu) / steps


def from_log(text: str, n_atoms: int) -> dict[str, float]:
    """What the pair style tells at the end of a run."""
    line = r"peak memory (\S+) KB per atom.*messages \S+ % of its time, (\S+) % of it waiting"
    kilobytes, waiting = (float(word) for word in re.findall(line, text)[-1])
    return {"engine": 1e3 * kilobytes * n_atoms, "waiting": waiting / 100}


if __name__ == "__main__":
    run(Request(**json.loads(sys.argv[1])), Path(sys.argv[2]))
