"""Water-like boxes of any size with their edges, made from one random cell; numpy and torch only.

The cell of 64 molecules is searched for neighbors once; its edges are replicated with their cell shifts, so that a
box of 100,000 atoms costs no neighbor search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CELL_LENGTH = 12.42  # angstrom; 64 molecules at 1 g/cm^3
MOLECULES_PER_SIDE = 4
OH_LENGTH = 0.97  # angstrom
HOH_ANGLE = np.deg2rad(104.5)


@dataclass(frozen=True)
class Box:
    """One periodic structure; edges sorted by center, ``vectors = r_j - r_i`` in angstrom, float64, on the CPU."""

    elements: list[str]  # (n_atoms)
    center: Tensor  # (n_edges) int64
    neighbor: Tensor  # (n_edges) int64
    vectors: Tensor  # (n_edges, 3)

    @property
    def n_atoms(self) -> int:
        return len(self.elements)

    @property
    def edges_per_atom(self) -> float:
        return len(self.center) / self.n_atoms


def water_box(copies: tuple[int, int, int], cutoff: float, seed: int = 0) -> Box:
    """``copies`` of the random cell along x, y, z, with all pairs closer than ``cutoff`` (at most CELL_LENGTH)."""
    positions = random_water_cell(np.random.default_rng(seed))
    center, neighbor, shift = periodic_pairs(positions, cutoff)
    vectors = positions[neighbor] - positions[center] + shift * CELL_LENGTH
    n_cell, n_cells = len(positions), int(np.prod(copies))
    cells = np.stack(np.unravel_index(np.arange(n_cells), copies), axis=1)
    target = (cells[:, None, :] + shift) % copies  # (n_cells, n_edges of the cell, 3)
    target = np.ravel_multi_index(np.moveaxis(target, -1, 0), copies)
    return Box(
        elements=["O", "H", "H"] * (n_cell // 3) * n_cells,
        center=torch.from_numpy((center + n_cell * np.arange(n_cells)[:, None]).reshape(-1)),
        neighbor=torch.from_numpy((neighbor + n_cell * target).reshape(-1)),
        vectors=torch.from_numpy(np.tile(vectors, (n_cells, 1))),
    )


def random_water_cell(random: np.random.Generator) -> np.ndarray:
    """Molecules on a cubic lattice, displaced and turned at random: (192, 3) angstrom, order O H H."""
    spacing = CELL_LENGTH / MOLECULES_PER_SIDE
    lattice = np.stack(np.meshgrid(*[np.arange(MOLECULES_PER_SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    oxygen = lattice * spacing + random.normal(scale=0.1, size=lattice.shape)
    first = unit(random.normal(size=lattice.shape))
    across = unit(np.cross(first, random.normal(size=lattice.shape)))
    second = np.cos(HOH_ANGLE) * first + np.sin(HOH_ANGLE) * across
    return np.stack([oxygen, oxygen + OH_LENGTH * first, oxygen + OH_LENGTH * second], axis=1).reshape(-1, 3)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def periodic_pairs(positions: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All ordered pairs within ``cutoff`` over the 27 nearest images, sorted by center: center, neighbor, shift."""
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    images = positions[None] + shifts[:, None] * CELL_LENGTH  # (27, n, 3)
    distance = np.linalg.norm(images[None] - positions[:, None, None], axis=-1)  # (n, 27, n)
    center, image, neighbor = np.nonzero((distance < cutoff) & (distance > 0))
    return center, neighbor, shifts[image]
