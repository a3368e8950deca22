"""Derivatives of functions of one number by automatic differentiation, for comparison with explicit formulas."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def automatic_jets(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Value, first and second derivative (3, n, C) of a function (n,) -> (n, C) that acts on each point alone.

    Backward twice: forward over forward mode gives wrong second derivatives of layer_norm in torch 2.13.
    """
    points = points.detach().requires_grad_()
    orders: list[list[Tensor]] = [[], [], []]
    for value in function(points).unbind(-1):
        first = derivative(value, points)
        for order, result in enumerate((value, first, derivative(first, points))):
            orders[order].append(result.detach())
    return torch.stack([torch.stack(columns, dim=-1) for columns in orders])


def derivative(values: Tensor, points: Tensor) -> Tensor:
    """Of each value (n,) by its own point; zero where it does not depend on it."""
    if not values.requires_grad:
        return torch.zeros_like(points)
    return torch.autograd.grad(values.sum(), points, create_graph=True, materialize_grads=True)[0]
