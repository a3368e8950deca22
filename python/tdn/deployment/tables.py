"""Tables of radial weights: quintic Hermite polynomials between uniform knots, with two continuous derivatives.

A table is (n_tables, n_knots, 3, C): f, h df/dr, h^2 d2f/dr2 at the knots r = 0, h, 2 h, .. cutoff. The radial basis
cannot be evaluated at r = 0, so the first knot is the Taylor continuation of the second.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hermite_table(jets: Tensor, spacing: float | Tensor) -> Tensor:
    """Jets at the knots but the first, (3, n_tables, n_knots - 1, C) -> table (n_tables, n_knots, 3, C).

    Each table may have its own spacing, (n_tables, 1, 1).
    """
    value, first, second = jets[0], jets[1] * spacing, jets[2] * (spacing * spacing)
    f, d, dd = value[:, :1], first[:, :1], second[:, :1]
    origin = torch.stack([f - d + 0.5 * dd, d - dd, dd])
    table = torch.cat([origin, torch.stack([value, first, second])], dim=2)
    return table.permute(1, 2, 0, 3).contiguous()


def hermite_basis(t: Tensor) -> Tensor:
    """Weights of the six numbers of the two knots around a point, for t (n,) from 0 to 1: (n, 6)."""
    t3, t4, t5 = t**3, t**4, t**5
    step = 10.0 * t3 - 15.0 * t4 + 6.0 * t5
    left = [1.0 - step, t - 6.0 * t3 + 8.0 * t4 - 3.0 * t5, 0.5 * (t * t - 3.0 * t3 + 3.0 * t4 - t5)]
    right = [step, -4.0 * t3 + 7.0 * t4 - 3.0 * t5, 0.5 * (t3 - 2.0 * t4 + t5)]
    return torch.stack(left + right, dim=-1)


def evaluate_table(table: Tensor, slots: Tensor, distances: Tensor, cutoff: float | Tensor) -> Tensor:
    """Values of tables, differentiable by the distance.

    Args:
        table: (n_tables, n_knots, 3, C).
        slots: table of each point, (n,) int64.
        distances: (n,) angstrom, from 0 to the cutoff.
        cutoff: position of the last knot, angstrom; of all tables, or of the table of each point (n,).

    Returns:
        (n, C).
    """
    n_tables, n_knots, n_channels = table.size(0), table.size(1), table.size(3)
    scaled = distances * ((n_knots - 1) / cutoff)
    interval = torch.clamp(scaled.detach().floor(), 0, n_knots - 2)
    row = slots * n_knots + interval.to(torch.int64)
    knots = table.view(n_tables * n_knots, 3, n_channels)
    around = torch.cat([knots.index_select(0, row), knots.index_select(0, row + 1)], dim=1)  # (n, 6, C)
    return (hermite_basis(scaled - interval).unsqueeze(-1) * around).sum(1)
