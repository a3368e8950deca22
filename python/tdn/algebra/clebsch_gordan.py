"""Exact Wigner 3j symbols in e3nn's real basis and the stacked coupling tensor of the paper's Eq. 2.

The SU(2) coefficients come from Racah's closed formula in rational arithmetic, so they are exact up to one square
root; the change to the real basis and the norm follow e3nn (each path has Frobenius norm one).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import Tensor

PATHS = ("o3", "so3")


def admissible_paths(l_max: int, paths: str) -> list[tuple[int, int, int]]:
    """Triples (l1, l2, l3), |l1 - l2| <= l3 <= l1 + l2, all <= ``l_max``; ``o3`` keeps only even l1 + l2 + l3."""
    if paths not in PATHS:
        raise ValueError(f"paths must be one of {PATHS}, not {paths!r}")
    degrees = range(l_max + 1)
    return [
        (l1, l2, l3)
        for l1 in degrees
        for l2 in degrees
        for l3 in degrees
        if abs(l1 - l2) <= l3 <= l1 + l2 and (paths == "so3" or (l1 + l2 + l3) % 2 == 0)
    ]


@cache
def su2_clebsch_gordan(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    """<j1 m1 j2 m2 | j3 m3> by Racah's formula (e.g. Varshalovich et al. 1988, eq. 8.2.1(3))."""
    if m1 + m2 != m3 or not abs(j1 - j2) <= j3 <= j1 + j2:
        return 0.0
    f = math.factorial
    square = Fraction(
        (2 * j3 + 1) * f(j1 + j2 - j3) * f(j1 - j2 + j3) * f(-j1 + j2 + j3),
        f(j1 + j2 + j3 + 1),
    )
    square *= f(j1 + m1) * f(j1 - m1) * f(j2 + m2) * f(j2 - m2) * f(j3 + m3) * f(j3 - m3)
    total = Fraction(0)
    for k in range(j1 + j2 - j3 + 1):
        arguments = (k, j1 + j2 - j3 - k, j1 - m1 - k, j2 + m2 - k, j3 - j2 + m1 + k, j3 - j1 - m2 + k)
        if min(arguments) >= 0:
            total += Fraction((-1) ** k, math.prod(f(a) for a in arguments))
    return float(total) * math.sqrt(square)


def real_to_complex(degree: int) -> np.ndarray:
    """Unitary (2 l + 1, 2 l + 1) that maps real components to complex ones, with e3nn's phase (-i)^l."""
    q = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=complex)
    q[degree, degree] = 1.0
    for m in range(1, degree + 1):
        q[degree - m, degree + m] = 1 / math.sqrt(2)
        q[degree - m, degree - m] = -1j / math.sqrt(2)
        q[degree + m, degree + m] = (-1) ** m / math.sqrt(2)
        q[degree + m, degree - m] = 1j * (-1) ** m / math.sqrt(2)
    return (-1j) ** degree * q


@cache
def _wigner_3j(l1: int, l2: int, l3: int) -> np.ndarray:
    coefficients = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(-l2, l2 + 1):
            if abs(m1 + m2) <= l3:
                coefficients[l1 + m1, l2 + m2, l3 + m1 + m2] = su2_clebsch_gordan(l1, m1, l2, m2, l3, m1 + m2)
    q1, q2, q3 = real_to_complex(l1), real_to_complex(l2), real_to_complex(l3)
    real = np.einsum("mi,nj,pk,mnp->ijk", q1, q2, q3.conj(), coefficients).real
    return real / np.linalg.norm(real)


def wigner_3j(l1: int, l2: int, l3: int) -> Tensor:
    """Real Wigner 3j symbol in e3nn's basis, float64, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), Frobenius norm one."""
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"({l1}, {l2}, {l3}) violates |l1 - l2| <= l3 <= l1 + l2")
    return torch.from_numpy(_wigner_3j(l1, l2, l3).copy())


def coupling_tensor(l_max: int, paths: str = "o3", normalization: str = "component") -> Tensor:
    """All admissible paths in one tensor M_kij (paper, Eq. 2): product_k = sum_ij M_kij first_i second_j.

    Args:
        l_max: highest degree of both operands and of the product.
        paths: ``o3`` (l1 + l2 + l3 even: parity is a symmetry) or ``so3`` (all; the paper's choice).
        normalization: ``none`` (plain sum of Wigner 3j, the paper) or ``component`` (every output degree scaled by
            sqrt((2 l3 + 1) / number of paths to l3), so that unit-variance operands give a unit-variance product).

    Returns:
        float64, (d, d, d) with d = (l_max + 1)^2, indexed [k output, i first operand, j second operand].
    """
    if normalization not in ("none", "component"):
        raise ValueError(f"normalization must be 'none' or 'component', not {normalization!r}")
    dim = (l_max + 1) ** 2
    tensor = torch.zeros(dim, dim, dim, dtype=torch.float64)
    for l1, l2, l3 in admissible_paths(l_max, paths):
        block = wigner_3j(l1, l2, l3).permute(2, 0, 1)
        tensor[degree_slice(l3), degree_slice(l1), degree_slice(l2)] = block
    if normalization == "component":
        tensor *= component_scale(l_max, paths).reshape(dim, 1, 1)
    return tensor


def paths_by_product(l_max: int, paths: str) -> list[tuple[int, int, int]]:
    """:func:`admissible_paths` in the order of separate weights: by the degree of the product, then of the first."""
    return sorted(admissible_paths(l_max, paths), key=lambda path: (path[2], path[0], path[1]))


def path_rows(l_max: int, paths: str, normalization: str) -> Tensor:
    """:func:`coupling_tensor` split into paths, each with only the rows k of its product.

    Returns:
        float64, (sum of 2 l3 + 1 over the paths, d, d), paths in the order of :func:`paths_by_product`.
    """
    whole = coupling_tensor(l_max, paths, normalization)
    parts = []
    for l1, l2, l3 in paths_by_product(l_max, paths):
        part = torch.zeros(2 * l3 + 1, *whole.shape[1:], dtype=torch.float64)
        operands = (slice(None), degree_slice(l1), degree_slice(l2))
        part[operands] = whole[degree_slice(l3)][operands]
        parts.append(part)
    return torch.cat(parts)


def component_scale(l_max: int, paths: str) -> Tensor:
    """(d,) float64: sqrt((2 l3 + 1) / number of paths to l3), repeated over the components of each degree."""
    targets = [l3 for _, _, l3 in admissible_paths(l_max, paths)]
    scales = [math.sqrt((2 * degree + 1) / targets.count(degree)) for degree in range(l_max + 1)]
    return torch.tensor([s for degree, s in enumerate(scales) for _ in range(2 * degree + 1)], dtype=torch.float64)


def degree_slice(degree: int) -> slice:
    """Rows of degree ``l`` in an l-major array of components."""
    return slice(degree**2, (degree + 1) ** 2)
