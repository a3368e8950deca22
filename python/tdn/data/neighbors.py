"""Directed edges within the cutoff, from vesin: all periodic images, any cell, any set of periodic directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vesin import NeighborList

from tdn.errors import TDNError


def neighbor_list(
    positions: ArrayLike, cell: ArrayLike, periodic: ArrayLike, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every ordered pair closer than the cutoff, including an atom and its own images, sorted by center.

    Args:
        positions: angstrom, shape ``(n_atoms, 3)``; atoms may lie outside of the cell.
        cell: rows are cell vectors, angstrom, shape ``(3, 3)``; may be shorter than the cutoff.
        periodic: shape ``(3,)`` bool; rows of ``cell`` in other directions are ignored.
        cutoff: angstrom.

    Returns:
        Centers i and neighbors j, shape ``(n_edges,)``, and vectors ``r_j - r_i + shift @ cell``, angstrom,
        shape ``(n_edges, 3)``, float64.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    periodic = np.broadcast_to(np.asarray(periodic, dtype=bool), (3,))
    if len(points) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3))
    if not np.isfinite(points).all():
        raise TDNError("a position is not a finite number; remove or repair the structure")
    box = complete_cell(np.asarray(cell, dtype=np.float64), periodic)
    search = NeighborList(cutoff=float(cutoff), full_list=True, sorted=True, n_threads=1)
    center, neighbor, vectors = search.compute(points, box, periodic, quantities="ijD")
    return center.astype(np.int64), neighbor.astype(np.int64), vectors


def complete_cell(cell: NDArray[np.float64], periodic: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace the cell vectors of directions that are not periodic by unit vectors normal to the others.

    Raises:
        TDNError: if a periodic direction has no cell vector or the cell has no volume.
    """
    box = np.where(periodic[:, None], cell, 0.0)
    if (np.linalg.norm(box[periodic], axis=1) < 1e-6).any():
        raise TDNError(
            f"the structure is periodic ({periodic.tolist()}) in a direction without a vector in its cell "
            f"{cell.tolist()}; give a cell or set pbc to false in this direction"
        )
    _, _, normals = np.linalg.svd(box)
    free = np.flatnonzero(~periodic)
    if len(free):
        box[free] = normals[3 - len(free) :]
    if abs(np.linalg.det(box)) < 1e-9:
        raise TDNError(f"the cell {cell.tolist()} has no volume; give three independent cell vectors")
    return box
