"""The paper's Theorem 3.2 by construction, and how little of it a layer has whose paths share one weight."""

from __future__ import annotations

import cp_cache
import torch
from output import write_table
from torch import Tensor

from tdn.algebra.clebsch_gordan import PATHS, admissible_paths, coupling_tensor, degree_slice, wigner_3j

N_MAPS = 40


def map_of(coefficients: Tensor, l_max: int, paths: str) -> Tensor:
    """Equivariant bilinear map with one coefficient for each path, (d, d, d) indexed [k, i, j].

    By Schur's lemma these are all there are between operands that hold every degree once.
    """
    dim = (l_max + 1) ** 2
    tensor = torch.zeros(dim, dim, dim, dtype=torch.float64)
    for alpha, (l1, l2, l3) in zip(coefficients, admissible_paths(l_max, paths), strict=True):
        tensor[degree_slice(l3), degree_slice(l1), degree_slice(l2)] = alpha * wigner_3j(l1, l2, l3).permute(2, 0, 1)
    return tensor


def random_coefficients(l_max: int, paths: str, seed: int) -> Tensor:
    """One standard normal number for each path."""
    n_paths = len(admissible_paths(l_max, paths))
    return torch.randn(n_paths, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def constructed_factors(tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Factors of Theorem 3.2: term (i, j) reads x_i and y_j and writes the column T_kij.

    Args:
        tensor: any (d3, d1, d2).

    Returns:
        output (d3, R), first (d1, R), second (d2, R) with R = d1 d2.
    """
    _, d1, d2 = tensor.shape
    first = torch.eye(d1, dtype=tensor.dtype).repeat_interleave(d2, dim=1)
    second = torch.eye(d2, dtype=tensor.dtype).repeat(1, d1)
    return tensor.flatten(1), first, second


def hadamard(factors: tuple[Tensor, Tensor, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Eq. 4, A ((B^T x) o (C^T y)), for rows x (n, d1) and y (n, d2)."""
    output, first, second = factors
    return ((x @ first) * (y @ second)) @ output.t()


def path_by_path(coefficients: Tensor, l_max: int, paths: str, x: Tensor, y: Tensor) -> Tensor:
    """The map by its definition (Eq. 1 for each path), x and y of shape (n, d)."""
    out = torch.zeros_like(x)
    for alpha, (l1, l2, l3) in zip(coefficients, admissible_paths(l_max, paths), strict=True):
        operands = x[:, degree_slice(l1)], y[:, degree_slice(l2)]
        out[:, degree_slice(l3)] += alpha * torch.einsum("ijk,ni,nj->nk", wigner_3j(l1, l2, l3), *operands)
    return out


def construction_error(l_max: int, paths: str, seed: int) -> float:
    """Largest difference between a random map and its constructed factors, over the largest value."""
    coefficients = random_coefficients(l_max, paths, seed)
    tensor = map_of(coefficients, l_max, paths)
    generator = torch.Generator().manual_seed(seed + 1000)
    x, y = (torch.randn(100, len(tensor), generator=generator, dtype=torch.float64) for _ in range(2))
    expected = path_by_path(coefficients, l_max, paths, x, y)
    return float((hadamard(constructed_factors(tensor), x, y) - expected).abs().max() / expected.abs().max())


def distance_from_span(tensor: Tensor, single: Tensor) -> float:
    """Smallest |T - w M|_F over all numbers w, relative to |T|_F."""
    weight = (tensor * single).sum() / single.square().sum()
    return float((tensor - weight * single).norm() / tensor.norm())


def distance_from_scaled(coefficients: Tensor, l_max: int, paths: str, n_starts: int = 4) -> float:
    """The same with a free scale for each degree of x, y and the product: alpha = a_l1 b_l2 c_l3, best of some starts.

    Paths are orthogonal and of norm one, so distances of coefficients are distances of tensors.
    """
    degrees = torch.tensor(admissible_paths(l_max, paths)).t()  # (3, n_paths)
    best = 1.0
    for seed in range(n_starts):
        generator = torch.Generator().manual_seed(seed)
        scales = torch.randn(3, l_max + 1, generator=generator, dtype=torch.float64)
        for step in range(150):
            mode = step % 3
            others = torch.stack([scales[n, degrees[n]] for n in range(3) if n != mode]).prod(0)
            above, below = torch.zeros(2, l_max + 1, dtype=torch.float64).unbind(0)
            above = above.index_add(0, degrees[mode], coefficients * others)
            below = below.index_add(0, degrees[mode], others.square())
            scales[mode] = above / below.clamp_min(1e-300)
        product = torch.stack([scales[n, degrees[n]] for n in range(3)]).prod(0)
        best = min(best, float((coefficients - product).norm() / coefficients.norm()))
    return best


def mean_square_root(values: list[float]) -> float:
    """Root mean square."""
    return (sum(value**2 for value in values) / len(values)) ** 0.5


def make() -> None:
    """Table."""
    rows = []
    for paths in PATHS:
        for l_max in cp_cache.RANKS[paths]:
            shared = coupling_tensor(l_max, paths, "none")
            maps = [random_coefficients(l_max, paths, seed) for seed in range(N_MAPS)]
            error = max(construction_error(l_max, paths, seed) for seed in range(N_MAPS))
            spans = [distance_from_span(map_of(alpha, l_max, paths), shared) for alpha in maps]
            scaled = [distance_from_scaled(alpha, l_max, paths) for alpha in maps]
            n_paths = len(maps[0])
            distances = mean_square_root(spans), (1 - 1 / n_paths) ** 0.5, mean_square_root(scaled)
            counts = str(n_paths), str(len(shared) ** 2)
            rows.append([paths, str(l_max), *counts, f"{error:.0e}", *(f"{value:.3f}" for value in distances)])
    remark = (
        f"Random equivariant bilinear maps, {N_MAPS} for each line, one normal coefficient for each path. Error: "
        "largest difference to the constructed factors, relative. Distances: relative Frobenius, root mean square, "
        "from what one shared weight spans, and from what it spans with a free scale for each degree of both operands "
        "and of the product. Made by `docs/theory/figures.py`."
    )
    header = ["paths", "l_max", "paths (free coefficients)", "R = d1 d2", "error of the construction"]
    header += ["distance, shared weight", "sqrt(1 - 1/paths)", "distance, scales per degree"]
    write_table("universality", remark, header, rows)
