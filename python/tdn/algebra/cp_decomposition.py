"""CP factors of the coupling tensor: M_kij ~ sum_r output_kr first_ir second_jr (paper, Eq. 3).

The exact ranks below were found numerically; nothing proves that they are minimal. Factors of these ranks are shipped
in ``cp_factors.npz`` for l_max <= 3, with those of the paper's ranks; other ranks are fitted when first needed and
kept in memory. ``python -m tdn.algebra.cp_decomposition`` recomputes the file: seconds for each exact rank, two
minutes for rank 63 at l_max 3. The fit is in ``cp_fit``.

The published code fits in float32 with AdamW on random operands; its factors differ from these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tdn.algebra import cp_fit
from tdn.algebra.clebsch_gordan import PATHS, coupling_tensor
from tdn.errors import TDNError

#: Ranks at which the decomposition is exact, by paths and l_max = 0, 1, 2, 3.
EXACT_RANKS = {"o3": (1, 6, 18, 52), "so3": (1, 8, 28, 90)}
#: Further factors in the file, (paths, l_max, rank): the paper's ranks 7 l_max^2 (28 is above) and another exact one.
ALSO_SHIPPED = (("so3", 1, 7), ("so3", 2, 30), ("so3", 3, 63))
CACHE_FILE = Path(__file__).with_name("cp_factors.npz")
#: Untied fits with more unknowns than this would take minutes and are not tried; tied ones are.
MAX_UNTIED_UNKNOWNS = 2000
#: Random starts for each tie; a fit stops at the first exact one.
N_STARTS = 4


@dataclass(frozen=True)
class CPFactors:
    """One decomposition of the unnormalized coupling tensor, float64, every factor of shape (d, rank)."""

    #: acts on the first operand
    first: Tensor
    #: acts on the second operand
    second: Tensor
    #: makes the product
    output: Tensor
    #: Frobenius norm of M - M_hat over that of M
    relative_error: float

    @property
    def rank(self) -> int:
        """Number of terms R."""
        return self.first.size(1)

    @property
    def largest_entry(self) -> float:
        """Largest absolute entry of the factors; large ones (> 10) cost digits in float32."""
        return float(torch.stack([self.first, self.second, self.output]).abs().max())

    def tensor(self) -> Tensor:
        """M_hat, (d, d, d), indexed [k output, i first operand, j second operand]."""
        return cp_fit.compose(torch.stack([self.output, self.first, self.second]))


def cp_factors(l_max: int, rank: int | None = None, paths: str = "o3") -> CPFactors:
    """CP factors of ``coupling_tensor(l_max, paths, "none")``.

    Args:
        l_max: highest degree, >= 0.
        rank: number of terms; None takes the exact rank (l_max <= 3). Ranks above the exact one are padded with zero
            terms; others are fitted, which takes seconds up to l_max 2 and minutes from l_max 3 on.
        paths: ``o3`` or ``so3``, see :func:`coupling_tensor`.

    Returns:
        A copy that the caller may change. For the ``component`` normalization scale the rows of ``output``.

    Raises:
        TDNError: rank or degree out of range, unknown paths.
    """
    rank = check_request(l_max, rank, paths)
    factors, error = cached_factors(l_max, rank, paths)
    output, first, second = factors.clone().unbind(0)
    return CPFactors(first, second, output, error)


def check_request(l_max: int, rank: int | None, paths: str) -> int:
    """Refuse what cannot be fitted; return the rank to use."""
    if paths not in PATHS:
        raise TDNError(f"paths is {paths!r}; use one of {', '.join(PATHS)}")
    if l_max < 0:
        raise TDNError(f"l_max is {l_max}; give 0 or a positive degree")
    if rank is None:
        if l_max >= len(EXACT_RANKS[paths]):
            raise TDNError(f"no exact CP rank is known for l_max = {l_max}; give a rank, or use the exact product")
        return EXACT_RANKS[paths][l_max]
    if rank < 1:
        raise TDNError(f"CP rank is {rank}; give a whole number of at least 1, or None for the exact rank")
    return rank


@cache
def cached_factors(l_max: int, rank: int, paths: str) -> tuple[Tensor, float]:
    """Factors (output, first, second) stacked to (3, d, rank) and their error: from the file, padded, or fitted."""
    exact = EXACT_RANKS[paths][l_max] if l_max < len(EXACT_RANKS[paths]) else rank
    factors = read_cache().get(cache_key(l_max, rank, paths))
    if factors is None and rank > exact:
        factors = torch.nn.functional.pad(cached_factors(l_max, exact, paths)[0], (0, rank - exact))
    elif factors is None:
        factors = fit_coupling(l_max, rank, paths)
    return factors, cp_fit.relative_error(coupling_tensor(l_max, paths, "none"), factors)


def fit_coupling(l_max: int, rank: int, paths: str) -> Tensor:
    """Best of several deterministic starts, or the first exact one: (3, d, rank), output first."""
    target = coupling_tensor(l_max, paths, "none")
    best, best_error = torch.zeros(3, target.size(0), rank, dtype=torch.float64), float("inf")
    for columns, seed in starts(target.size(0), rank, paths):
        factors, error = cp_fit.fit(target, columns, seed)
        if error < best_error:
            best, best_error = factors, error
        if error <= cp_fit.TOLERANCE:
            break
    return best


def starts(dim: int, rank: int, paths: str) -> Iterator[tuple[Tensor, int]]:
    """Ties and seeds to try: first the symmetry of the coupling tensor, then free factors.

    The share of cubes p (x) p (x) p in cyclic factors is empirical; only the triples can make the odd paths.
    """
    ties = [("symmetric", rank)]
    if paths == "so3":
        cubes = [min(range(rank % 3, rank + 1, 3), key=lambda n: abs(n - share * rank)) for share in (0.45, 0.3)]
        ties = [("cyclic", n_cubes) for n_cubes in dict.fromkeys(cubes)]
    for seed in range(N_STARTS):
        for tie, n_cubes in ties:
            yield cp_fit.tied_columns(rank, tie, n_cubes), seed
    if 3 * dim * rank <= MAX_UNTIED_UNKNOWNS:
        for seed in range(2 * N_STARTS):
            yield cp_fit.tied_columns(rank, "free"), seed


def cache_key(l_max: int, rank: int, paths: str) -> str:
    """Name of an array in the cache file."""
    return f"{paths}_l{l_max}_r{rank}"


@lru_cache(maxsize=1)
def read_cache() -> dict[str, Tensor]:
    """Shipped factors by key; empty while the file is being written."""
    if not CACHE_FILE.exists():
        return {}
    with np.load(CACHE_FILE) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def write_cache(path: Path = CACHE_FILE) -> None:
    """Fit the ranks that are shipped and write them."""
    wanted = [(paths, l_max, rank) for paths, ranks in EXACT_RANKS.items() for l_max, rank in enumerate(ranks)]
    arrays = {
        cache_key(l_max, rank, paths): fit_coupling(l_max, rank, paths).numpy()
        for paths, l_max, rank in (*wanted, *ALSO_SHIPPED)
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes every keyword for allow_pickle


if __name__ == "__main__":
    write_cache()
