"""Real spherical harmonics in e3nn's basis, component normalization (|Y_l|^2 = 2 l + 1).

The polar axis is y and the azimuth is counted from z to x, so that l = 1 is (x, y, z). With A_m = Re (z + i x)^m,
B_m = Im (z + i x)^m and the derivatives P_l^(m) of the Legendre polynomials:

    Y_{l,+m} = N_lm P_l^(m)(y) A_m,   Y_{l,-m} = N_lm P_l^(m)(y) B_m,   Y_{l,0} = N_l0 P_l(y)
    N_lm = sqrt((2 l + 1) (2 - delta_m0) (l - m)! / (l + m)!)

(no Condon-Shortley phase). Any degree works; the project uses and tests l_max <= 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def spherical_harmonics(unit_vectors: Tensor, l_max: int) -> Tensor:
    """Evaluate all degrees up to ``l_max``.

    Args:
        unit_vectors: (n, 3), x y z, of length one. (For other lengths the result is not a solid harmonic.)
        l_max: highest degree, >= 0.

    Returns:
        (n, (l_max + 1)^2), l-major, m = -l .. l within a degree; dtype of the input.
    """
    x, y, z = unit_vectors.unbind(-1)
    cosines = [torch.ones_like(x)]  # A_m
    sines = [torch.zeros_like(x)]  # B_m
    for m in range(l_max):
        cosines.append(z * cosines[m] - x * sines[m])
        sines.append(z * sines[m] + x * cosines[m])
    columns = [torch.ones_like(x)]
    for degree in range(1, l_max + 1):
        negative = [torch.zeros_like(x)]
        positive = [math.sqrt(2.0 * degree + 1.0) * legendre_derivative(degree, 0, y)]
        for m in range(1, degree + 1):
            ratio = math.factorial(degree - m) / math.factorial(degree + m)
            common = math.sqrt(2.0 * (2.0 * degree + 1.0) * ratio) * legendre_derivative(degree, m, y)
            negative.append(common * sines[m])
            positive.append(common * cosines[m])
        for m in range(degree):
            columns.append(negative[degree - m])
        columns.extend(positive)
    return torch.stack(columns, dim=-1)


def legendre_derivative(degree: int, order: int, y: Tensor) -> Tensor:
    """m-th derivative of the Legendre polynomial P_l at ``y`` (any shape), by the recursion in l at fixed m."""
    double_factorial = 1.0
    for k in range(1, 2 * order, 2):
        double_factorial *= float(k)
    previous = torch.zeros_like(y)
    current = torch.full_like(y, double_factorial)
    for k in range(order + 1, degree + 1):
        following = ((2 * k - 1) * y * current - (k + order - 1) * previous) / (k - order)
        previous, current = current, following
    return current
