"""The box that LAMMPS needs around an ASE structure: lower triangular, right-handed, closed in every direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tdn.errors import TDNError

if TYPE_CHECKING:
    from ase import Atoms

#: Room around the atoms in a direction without a usable cell vector, angstrom.
MARGIN = 8.0
#: Cell vectors whose directions differ from a right angle by less than this (as a cosine) are perpendicular.
PERPENDICULAR = 1e-10


@dataclass(frozen=True)
class LammpsBox:
    """A box in angstrom, and the rotation of the structure into it."""

    cell: np.ndarray  #: (3, 3) rows are cell vectors, lower triangular with a positive diagonal
    low: np.ndarray  #: (3,) lower corner
    rotation: np.ndarray  #: (3, 3) proper rotation Q with v_lammps = v @ Q.T and v = v_lammps @ Q
    periodic: np.ndarray  #: (3,) bool

    @classmethod
    def around(cls, atoms: Atoms, margin: float = MARGIN) -> LammpsBox:
        """Box of a structure.

        Periodic cell vectors are kept, up to the sign of the third, which makes the cell right-handed. The cell vector
        of a direction that is not periodic only provides space: it is kept if, as LAMMPS requires, it is perpendicular
        to the others and encloses all atoms; otherwise the box extends ``margin`` angstrom beyond the atoms.

        Raises:
            TDNError: a periodic direction has no cell vector, or the cell has no volume.
        """
        periodic = np.array(atoms.pbc, dtype=bool)
        given = np.array(atoms.cell.array, dtype=float)
        cell = _complete(given, periodic)
        if np.linalg.det(cell) < 0:
            cell[2] *= -1
        rotation, cell = _triangular(cell)
        turned, positions = given @ rotation.T, atoms.positions @ rotation.T
        low = np.zeros(3)
        for axis in np.flatnonzero(~periodic).tolist():
            low[axis], cell[axis, axis] = _room(turned, axis, positions[:, axis], margin)
        return cls(cell, low, rotation, periodic)

    @property
    def boundary(self) -> str:
        """Arguments of LAMMPS's ``boundary``."""
        return " ".join("p" if p else "f" for p in self.periodic)

    @property
    def tilts(self) -> tuple[float, float, float] | None:
        """(xy, xz, yz) in angstrom, None for an orthogonal box."""
        xy, xz, yz = self.cell[1, 0], self.cell[2, 0], self.cell[2, 1]
        return (xy, xz, yz) if max(abs(xy), abs(xz), abs(yz)) > 1e-12 else None


def _complete(given: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Cell (3, 3) with unit vectors, perpendicular to all others, in the directions that are not periodic."""
    cell = np.where(periodic[:, None], given, 0.0)
    for axis in np.flatnonzero(periodic):
        if not cell[axis].any():
            raise TDNError(
                f"the structure is periodic along cell vector {axis + 1}, which is zero; set the cell or pbc"
            )
    others = cell[periodic]
    if len(others) and np.linalg.svd(others, compute_uv=False)[-1] < 1e-8:
        raise TDNError(f"the periodic cell vectors {others.tolist()} span no volume; set the cell")
    for axis in np.flatnonzero(~periodic).tolist():
        cell[axis] = _perpendicular(cell[np.any(cell, axis=1)], axis)
    return cell


def _perpendicular(vectors: np.ndarray, axis: int) -> np.ndarray:
    """Unit vector perpendicular to ``vectors`` (n < 3, 3), as close as possible to Cartesian direction ``axis``."""
    basis = np.linalg.svd(np.vstack([vectors, np.zeros((3, 3))]))[2][len(vectors) :]
    wanted = [np.eye(3)[(axis + k) % 3] for k in range(3)]
    projections = [(direction @ basis.T) @ basis for direction in wanted]
    best = next(p for p in projections if np.linalg.norm(p) > 0.5)
    return best / np.linalg.norm(best)


def _triangular(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation Q and lower triangular cell L with a positive diagonal, ``cell = L @ Q``."""
    q, r = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(r))
    lower = (signs[:, None] * r).T
    return (q * signs).T, np.tril(lower)


def _room(turned: np.ndarray, axis: int, x: np.ndarray, margin: float) -> tuple[float, float]:
    """Lower end and length of the box along a direction that is not periodic; ``x`` are the atoms' coordinates."""
    vector, length = turned[axis], turned[axis, axis]
    others = np.delete(turned, axis, axis=0)
    aligned = length > 0 and np.linalg.norm(np.delete(vector, axis)) <= PERPENDICULAR * length
    straight = bool(np.all(np.abs(others[:, axis]) <= PERPENDICULAR * np.linalg.norm(others, axis=1)))
    if aligned and straight and (len(x) == 0 or (x.min() >= 0 and x.max() < length)):
        return 0.0, length
    low, high = (x.min(), x.max()) if len(x) else (0.0, 0.0)
    return low - margin, high - low + 2 * margin
