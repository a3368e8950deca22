"""CP factors of the coupling tensor at ranks below, at and above the exact one, fitted once and kept in ``fits.npz``.

Shipped factors (``tdn.algebra.cp_decomposition``) are used where they exist. The others come from the same fitter, with
fewer starts at high degrees: the errors are the best that was found, not proven minima.

Usage: python docs/theory/cp_cache.py (fits what is missing from the file; all of it takes about twenty minutes)
"""

from __future__ import annotations

import sys
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tdn.algebra import cp_fit
from tdn.algebra.clebsch_gordan import coupling_tensor
from tdn.algebra.cp_decomposition import cache_key, read_cache, starts

CACHE_FILE = Path(__file__).with_name("fits.npz")
#: Ranks of the curves, by paths and l_max; those of the paper's schedules are among them.
RANKS = {
    "so3": {
        1: (1, 2, 3, 4, 5, 6, 7, 8),
        2: (4, 8, 12, 14, 16, 20, 22, 24, 25, 26, 27, 28),
        3: (8, 16, 21, 32, 48, 63, 72, 80, 84, 85, 86, 87, 90),
        4: (16, 28, 32, 64, 112),
    },
    "o3": {
        1: (1, 2, 3, 4, 5, 6),
        2: (2, 4, 8, 10, 12, 14, 16, 17, 18),
        3: (8, 16, 21, 32, 40, 44, 48, 50, 51, 52),
        4: (16, 28, 32, 64, 90, 112),
    },
}
#: Random starts and Levenberg-Marquardt iterations of one fit, by l_max.
EFFORT = {1: (16, 300), 2: (24, 1500), 3: (3, 300), 4: (1, 100)}
#: A decomposition is exact below this relative error.
EXACT = 1e-12
#: Factors with larger errors are stored in float32.
NEARLY_EXACT = 1e-3


def fit(l_max: int, rank: int, paths: str) -> Tensor:
    """Best of a few deterministic starts, (3, d, rank), output first."""
    target = coupling_tensor(l_max, paths, "none")
    n_starts, n_iterations = EFFORT[l_max]
    best = padded(l_max, rank, paths)
    best_error = cp_fit.relative_error(target, best)
    for columns, seed in islice(starts(target.size(0), rank, paths), n_starts):
        factors, error = cp_fit.fit(target, columns, seed, n_iterations)
        if error < best_error:
            best, best_error = factors, error
        if error <= cp_fit.TOLERANCE:
            break
    print(f"{cache_key(l_max, rank, paths)}: {best_error:.3e}", file=sys.stderr, flush=True)
    return best


def padded(l_max: int, rank: int, paths: str) -> Tensor:
    """Factors of the next lower rank and terms of zero, (3, d, rank): what a fit has to improve."""
    lower = [r for r in RANKS[paths][l_max] if r < rank]
    if not lower:
        return torch.zeros(3, (l_max + 1) ** 2, rank, dtype=torch.float64)
    return torch.nn.functional.pad(factors_of(l_max, lower[-1], paths), (0, rank - lower[-1]))


def pack(factors: Tensor, error: float) -> dict[str, np.ndarray]:
    """Distinct columns and, for each factor, which of them it takes: tied factors are stored once."""
    flat = factors.transpose(1, 2).flatten(0, 1)  # (3 R, d)
    _, columns = flat.round(decimals=10).unique(dim=0, return_inverse=True)
    distinct = torch.zeros(int(columns.max()) + 1, flat.size(1), dtype=flat.dtype)
    distinct[columns] = flat  # equal up to rounding: any of them
    kept = distinct.numpy().astype(np.float32 if error > NEARLY_EXACT else np.float64)
    return {"vectors": kept, "columns": columns.view(3, -1).numpy().astype(np.int16)}


def unpack(vectors: np.ndarray, columns: np.ndarray) -> Tensor:
    """Inverse of :func:`pack`: (3, d, R) float64."""
    return torch.from_numpy(vectors).double()[torch.from_numpy(columns).long()].transpose(1, 2)


@lru_cache(maxsize=1)
def stored() -> dict[str, Tensor]:
    """Factors of the file by key."""
    if not CACHE_FILE.exists():
        return {}
    with np.load(CACHE_FILE) as file:
        keys = sorted({name.split("/")[0] for name in file.files})
        return {key: unpack(file[f"{key}/vectors"], file[f"{key}/columns"]) for key in keys}


def factors_of(l_max: int, rank: int, paths: str) -> Tensor:
    """(3, d, rank) float64, output first: shipped ones or those of the file."""
    key = cache_key(l_max, rank, paths)
    return read_cache()[key] if key in read_cache() else stored()[key]


def relative_error(l_max: int, rank: int, paths: str) -> float:
    """|M - Mhat|_F / |M|_F."""
    return cp_fit.relative_error(coupling_tensor(l_max, paths, "none"), factors_of(l_max, rank, paths))


def exact_rank(l_max: int, paths: str) -> int:
    """Smallest of ``RANKS`` whose factors are exact; a huge number where none is."""
    exact = [rank for rank in RANKS[paths][l_max] if relative_error(l_max, rank, paths) < EXACT]
    return min(exact, default=sys.maxsize)


def cases() -> list[tuple[str, int, int]]:
    """All (paths, l_max, rank), lower degrees and ranks first."""
    return [(paths, l_max, rank) for l_max in (1, 2, 3, 4) for paths in RANKS for rank in RANKS[paths][l_max]]


def complete() -> None:
    """Fit what neither the package nor the file has; write the file after each fit."""
    arrays = dict(np.load(CACHE_FILE)) if CACHE_FILE.exists() else {}
    for paths, l_max, rank in cases():
        key = cache_key(l_max, rank, paths)
        if key in read_cache() or f"{key}/vectors" in arrays:
            continue
        factors = fit(l_max, rank, paths)
        error = cp_fit.relative_error(coupling_tensor(l_max, paths, "none"), factors)
        arrays.update({f"{key}/{name}": array for name, array in pack(factors, error).items()})
        np.savez_compressed(CACHE_FILE, **arrays)
        stored.cache_clear()


if __name__ == "__main__":
    torch.set_num_threads(1)
    complete()
