"""Virials of an orthogonal and a triclinic structure, and energies of strained boxes; called by test_virial_three_ways.

Every strain is made by LAMMPS itself (``change_box ... remap``) in the frame of LAMMPS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import structures

from tdn.lammps import Simulation

#: The triclinic structure is lower triangular already, so that both frames are the same.
STRUCTURES = {"orthogonal": lambda: structures.water(2), "triclinic": structures.silicon_triclinic}
ELEMENTS = ("H", "O", "Si")
#: Deformations r -> r + step * r[j] along i that leave the box lower triangular: xx yy zz xy xz yz.
COMPONENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
STEP = 1e-4


def cell_of(simulation: Simulation) -> np.ndarray:
    """Cell vectors (3, 3) as rows, from LAMMPS."""
    low, high, xy, yz, xz, *_ = simulation.lmp.extract_box()
    (lx, ly, lz) = np.subtract(high, low)
    return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]])


def deform(simulation: Simulation, cell: np.ndarray) -> None:
    """Give the box these cell vectors; atoms keep their fractional coordinates."""
    sides = " ".join(f"{axis} final 0 {cell[k, k]:.17g}" for k, axis in enumerate("xyz"))
    tilts = f"xy final {cell[1, 0]:.17g} xz final {cell[2, 0]:.17g} yz final {cell[2, 1]:.17g}"
    simulation.command(f"change_box all {sides} {tilts} remap units box")


def energy_slopes(simulation: Simulation) -> np.ndarray:
    """dE/d(strain) (6,) by central differences, eV."""
    start, slopes = cell_of(simulation), []
    for i, j in COMPONENTS:
        energies = []
        for step in (STEP, -STEP):
            strain = np.eye(3)
            strain[i, j] += step
            deform(simulation, start @ strain.T)
            energies.append(simulation.evaluate(atom_virials=False, centroid_virials=False).energy)
        deform(simulation, start)
        slopes.append((energies[0] - energies[1]) / (2 * STEP))
    return np.array(slopes)


def main(archive: Path, output: Path) -> None:
    from mpi4py import MPI

    found = {}
    for name, make in STRUCTURES.items():
        with Simulation(make(), archive, elements=ELEMENTS, keywords="device cpu") as simulation:
            result = simulation.evaluate()
            simulation.command("change_box all triclinic")
            found[f"{name}/strain"] = -energy_slopes(simulation)
        found[f"{name}/virial"] = result.virial
        found[f"{name}/atom_virials"] = result.atom_virials
        found[f"{name}/centroid_virials"] = result.centroid_virials
    if MPI.COMM_WORLD.rank == 0:
        np.savez(output, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
