"""Results of an engine for a structure, under ASE's names, in numpy, so that archives run without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tdn.data.arrays import GraphArrays

Floats = NDArray[np.float64]
#: Voigt's order: xx yy zz yz xz xy.
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


def array_results(
    graph: GraphArrays, energies: Floats, gradient: Floats | None, forces: Floats | None
) -> dict[str, Any]:
    """Energy, forces and, with a gradient and a volume, stress of one structure.

    Args:
        graph: the structure.
        energies: of the atoms, (n_atoms,) eV.
        gradient: dE/dr_ij, (n_edges, 3) eV/angstrom; None for direct forces.
        forces: direct forces, (n_atoms, 3) eV/angstrom; None for those of the gradient.

    Returns:
        ``energy``, ``free_energy``, ``energies`` (eV), ``forces`` (eV/angstrom) and ``stress`` (6, eV/angstrom^3).
    """
    energy = float(energies.sum())
    results: dict[str, Any] = {"energy": energy, "free_energy": energy, "energies": energies}
    if gradient is None:
        assert forces is not None
        return results | {"forces": np.asarray(forces, dtype=np.float64)}
    results["forces"] = forces_of(graph, gradient)
    if graph.volume > 0:
        outer = graph.vectors.T @ gradient  # minus the virial
        results["stress"] = 0.5 * (outer + outer.T)[VOIGT] / graph.volume
    return results


def forces_of(graph: GraphArrays, gradient: Floats) -> Floats:
    """F_i = sum over edges of i as center of dE/dr_ij minus those where it is the neighbor, (n_atoms, 3)."""
    n = len(graph.species)
    components = [
        np.bincount(graph.center, column, n) - np.bincount(graph.neighbor, column, n) for column in gradient.T
    ]
    return np.stack(components, axis=1)


def total_energies(graph: GraphArrays, energies: Floats, free_energies: Sequence[float]) -> Floats:
    """Atom energies that add up to the structure's (eV), for a model whose energy is per atom above free atoms."""
    total = len(graph.species) * energies
    return total + np.array(free_energies)[graph.species] if free_energies else total
