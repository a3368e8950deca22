"""Directed edges within the cutoff, from vesin: all periodic images, any cell, any set of periodic directions."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vesin import NeighborList

from tdn.errors import TDNError

#: Vesin sorts atoms into about this many boxes at most. When a structure is so long in some directions that no box is
#: left for another, vesin divides by zero, which ends the process.
MOST_BOXES = 1e5


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
    if too_long(points, box, periodic, cutoff):
        center, neighbor, vectors = search_by_tree(points, box, periodic, cutoff)
    else:
        search = NeighborList(cutoff=float(cutoff), full_list=True, sorted=True, n_threads=1)
        center, neighbor, vectors = search.compute(points, box, periodic, quantities="ijD")
    return center.astype(np.int64), neighbor.astype(np.int64), vectors


def too_long(points: NDArray[np.float64], box: NDArray[np.float64], periodic: NDArray[np.bool_], cutoff: float) -> bool:
    """Whether vesin cannot search a structure, such as two molecules that are micrometers apart."""
    normals = np.linalg.inv(box)  # columns
    heights = np.where(periodic, 1.0, np.ptp(points @ normals, axis=0)) / np.linalg.norm(normals, axis=0)
    boxes = np.maximum(heights / cutoff, 1.0)
    excess = np.prod(boxes) / MOST_BOXES
    return bool(excess > 0.5 and boxes.min() < 2.0 * np.cbrt(excess))


def search_by_tree(
    points: NDArray[np.float64], box: NDArray[np.float64], periodic: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The same edges as vesin's for a structure of any size, in more time."""
    from scipy.spatial import cKDTree

    inverse = np.linalg.inv(box)
    wrapped = points - np.where(periodic, np.floor(points @ inverse), 0.0) @ box
    reach = np.where(periodic, np.ceil(cutoff * np.linalg.norm(inverse, axis=0)), 0.0).astype(int)
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    images = (wrapped + (shifts @ box)[:, None]).reshape(-1, 3)
    found = cKDTree(wrapped).query_ball_tree(cKDTree(images), cutoff)
    center = np.repeat(np.arange(len(points)), [len(row) for row in found])
    image = np.array([k for row in found for k in row], dtype=np.int64)
    vectors = images[image] - wrapped[center]
    itself = len(shifts) // 2 * len(points) + center  # the shifts are symmetric, zero is in their middle
    edges = (np.linalg.norm(vectors, axis=1) < cutoff) & (image != itself)
    return center[edges], image[edges] % len(points), vectors[edges]


def complete_cell(cell: NDArray[np.float64], periodic: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace the cell vectors of directions that are not periodic by unit vectors normal to the others.

    Raises:
        TDNError: if a periodic direction has no cell vector or the cell has no volume.
    """
    box = np.where(periodic[:, None], cell, 0.0)
    if not np.isfinite(box).all():
        raise TDNError(f"the cell {cell.tolist()} holds a value that is not a finite number; give finite cell vectors")
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
