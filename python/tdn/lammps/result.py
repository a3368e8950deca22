"""The result of one evaluation, on every rank and in the order of atom IDs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Rows and columns of the components xx yy zz xy xz yz yx zx zy; the first six are LAMMPS's symmetric ones.
ROWS = np.array([0, 1, 2, 0, 0, 1, 1, 2, 2])
COLUMNS = np.array([0, 1, 2, 1, 2, 2, 0, 0, 1])


@dataclass(frozen=True)
class Result:
    """Energies in eV, lengths in angstrom, in the frame of the structure that was given.

    The virial is positive under compression: stress = -virial / volume. The virials of the atoms sum to it; their share
    is a convention of the pair style.
    """

    ids: np.ndarray  #: (n,) atom IDs in ascending order; all arrays have this order
    energy: float
    atom_energies: np.ndarray  #: (n,)
    forces: np.ndarray  #: (n, 3)
    virial: np.ndarray  #: (6,) xx yy zz xy xz yz
    atom_virials: np.ndarray | None  #: (n, 6), None if not requested
    centroid_virials: np.ndarray | None  #: (n, 9) xx yy zz xy xz yz yx zx zy, None if not requested


def turn_back(components: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Tensors (..., 6 or 9) from LAMMPS's frame to that of the structure: W = Q^T W_lammps Q."""
    n = components.shape[-1]
    tensors = np.empty((*components.shape[:-1], 3, 3))
    if n == 6:
        tensors[..., COLUMNS[:6], ROWS[:6]] = components
    tensors[..., ROWS[:n], COLUMNS[:n]] = components
    return (rotation.T @ tensors @ rotation)[..., ROWS[:n], COLUMNS[:n]]
