"""Evaluates every structure of the parity matrix on the ranks it is started on; called by test_parity_matrix.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structures
from ase import Atoms

from tdn.errors import TDNError
from tdn.lammps import Simulation

ELEMENTS = ("Cu", "H", "O", "Si")
DTYPES = ("float64", "float32")
STYLES = ("brick", "tiled")
TILED = "comm_style tiled\nbalance 1.0 rcb"
#: Result.ids is implied by the order; all other fields.
FIELDS = ("energy", "atom_energies", "forces", "virial", "atom_virials", "centroid_virials")


@dataclass(frozen=True)
class Case:
    """A structure and the input lines that cut it into subdomains."""

    make: Callable[[], Atoms]
    before: str = ""
    tiled: str = TILED


def distorted_small_cell() -> Atoms:
    """Two atoms that see many images of themselves and of each other, with forces of the size of the other cases."""
    return structures.rattled(structures.small_cell(), 0.3)


def thin_box() -> Atoms:
    """A box that halves to less than the cutoff in every direction."""
    return structures.rattled(structures.fcc(), 0.1)


CASES = {
    "orthogonal": Case(lambda: structures.water(3)),
    "triclinic": Case(structures.turned_silicon),
    "slab": Case(structures.open_slab),
    "tiny cell": Case(distorted_small_cell),
    "thin subdomains": Case(thin_box, "processors * 1 1"),
    "empty ranks": Case(structures.slab, "processors 1 1 *", "comm_style tiled"),
    "isolated atoms": Case(structures.isolated_atoms),
}


def decomposition(simulation: Simulation) -> dict[str, np.ndarray]:
    """Atoms (n_ranks) and edges (n_ranks, 3) of each rank's subdomain, angstrom; no edges in triclinic boxes."""
    lmp, comm = simulation.lmp, simulation.comm
    found = {"atoms": np.array(comm.allgather(lmp.extract_setting("nlocal")))}
    if not simulation.box.tilts:
        edges = np.subtract(lmp.extract_global("subhi"), lmp.extract_global("sublo"))
        found["edges"] = np.array(comm.allgather(edges))
    return found


def evaluate(name: str, folder: Path, dtype: str) -> dict[str, np.ndarray]:
    """All numbers of one structure and precision by style and field; a refusal is the field ``error``."""
    case, found = CASES[name], {}
    archive = folder / f"{dtype}.tdn.pt"
    with Simulation(case.make(), archive, elements=ELEMENTS, keywords="device cpu", before=case.before) as simulation:
        for style in STYLES:
            try:
                if style == "tiled":
                    simulation.command(case.tiled)
                result = simulation.evaluate()
                values = {field: getattr(result, field) for field in FIELDS} | decomposition(simulation)
            except TDNError as refusal:
                values = {"error": np.array(str(refusal))}
            found |= {f"{style}/{field}": value for field, value in values.items()}
    return found


def main(folder: Path) -> None:
    from mpi4py import MPI

    world, found = MPI.COMM_WORLD, {}
    for dtype in DTYPES:
        for name in CASES:
            values = evaluate(name, folder, dtype)
            found |= {f"{name}/{dtype}/{key}": value for key, value in values.items()}
    if world.rank == 0:
        np.savez(folder / f"{world.size}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
