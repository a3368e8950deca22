"""Atoms and directed edges as numpy arrays: everything that an archive's engine reads, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from tdn.data.neighbors import neighbor_list
from tdn.errors import TDNError

#: Closer pairs are considered broken input (angstrom); the shortest bond, H2, has 0.74.
TOO_CLOSE = 0.2


@dataclass(frozen=True)
class GraphArrays:
    """Atoms and edges of one structure, with the fields of :class:`tdn.data.graph.Graph`, float64."""

    species: NDArray[np.int64]  #: (n_atoms,) index into the model's list of elements
    center: NDArray[np.int64]  #: (n_edges,) index of the receiving atom i, ascending
    neighbor: NDArray[np.int64]  #: (n_edges,) index of the sending atom j
    vectors: NDArray[np.float64]  #: (n_edges, 3) angstrom, r_j - r_i, periodic shift applied
    volume: float  #: angstrom^3, zero unless periodic in three directions


def graph_arrays(
    numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    periodic: np.ndarray,
    elements: Sequence[str],
    cutoff: float,
) -> GraphArrays:
    """Edges within the cutoff of atoms (n,), positions (n, 3), a cell (3, 3) and its periodic directions (3,).

    Raises:
        TDNError: an element is not in the model, or atoms overlap.
    """
    center, neighbor, vectors = neighbor_list(positions, cell, periodic, cutoff)
    check_distances(center, neighbor, vectors)
    volume = abs(float(np.linalg.det(cell))) if np.all(periodic) else 0.0
    return GraphArrays(species_of(numbers, elements), center, neighbor, vectors, volume)


def species_of(numbers: np.ndarray, elements: Sequence[str]) -> NDArray[np.int64]:
    """Model index of each atom from its atomic number, shape ``(n_atoms,)``."""
    index = np.full(len(chemical_symbols), -1, dtype=np.int64)
    for species, element in enumerate(elements):
        index[chemical_symbols.index(element)] = species
    found = index[numbers]
    if (found < 0).any():
        missing = chemical_symbols[numbers[found < 0][0]]
        raise TDNError(
            f"element {missing} is not in the model, which knows {' '.join(elements)}; "
            "remove the structure or train a model with this element"
        )
    return found


def check_distances(center: np.ndarray, neighbor: np.ndarray, vectors: np.ndarray) -> None:
    """Refuse structures with overlapping atoms."""
    if len(vectors) == 0:
        return
    distances = np.linalg.norm(vectors, axis=1)
    edge = int(distances.argmin())
    if distances[edge] < TOO_CLOSE:
        raise TDNError(
            f"atoms {center[edge]} and {neighbor[edge]} are {distances[edge]:.3g} angstrom apart, closer than "
            f"{TOO_CLOSE}; check the positions, the cell and their unit"
        )
