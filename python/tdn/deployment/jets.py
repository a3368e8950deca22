"""Values with first and second derivatives by the distance ("jets") of radial bases and networks, by explicit formulas.

A jet is one tensor (3, ...): f, df/dr, d2f/dr2. The classes wrap those of ``tdn.model.radial``, which training uses
without derivatives. The C++ twins that make the tables when an archive is opened are ``pair_tdn/engine/jets.cpp`` and,
for pair terms, ``pair_tdn/engine/pair_term.cpp``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tdn.model.pair_term import ZBL
from tdn.model.radial import BesselBasis, GaussianBasis, RadialNetwork


def linear_jets(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(3, ..., n_in) -> (3, ..., n_out); the bias has no derivative."""
    out = F.linear(x, weight)
    return torch.cat([out[:1] + bias, out[1:]])


def silu_jets(x: Tensor) -> Tensor:
    """Jets of x sigmoid(x), elementwise, (3, ...)."""
    value, first, second = x[0], x[1], x[2]
    sigmoid = torch.sigmoid(value)
    slope = sigmoid * (1.0 - sigmoid)  # of the sigmoid
    by_x = sigmoid + value * slope
    by_x_twice = slope * (2.0 + value * (1.0 - 2.0 * sigmoid))
    return torch.stack([value * sigmoid, by_x * first, by_x_twice * first * first + by_x * second])


def layer_norm_jets(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Jets of LayerNorm over the last dimension, (3, ..., n): c / sqrt(v) with c = x - mean, v = mean(c c) + eps."""
    centered = x - x.mean(dim=-1, keepdim=True)
    c0, c1, c2 = centered[0], centered[1], centered[2]
    v0 = (c0 * c0).mean(dim=-1, keepdim=True) + eps
    v1 = 2.0 * (c0 * c1).mean(dim=-1, keepdim=True)
    v2 = 2.0 * (c1 * c1 + c0 * c2).mean(dim=-1, keepdim=True)
    s0 = torch.rsqrt(v0)
    s1 = -0.5 * s0 * v1 / v0
    s2 = s0 * (0.75 * v1 * v1 / v0 - 0.5 * v2) / v0
    out = torch.stack([c0 * s0, c1 * s0 + c0 * s1, c2 * s0 + 2.0 * c1 * s1 + c0 * s2]) * weight
    return torch.cat([out[:1] + bias, out[1:]])


class BesselJets(nn.Module):
    """:class:`BesselBasis` with jets."""

    def __init__(self, basis: BesselBasis) -> None:
        super().__init__()
        self.basis = basis

    def forward(self, distances: Tensor) -> Tensor:
        """(n,) angstrom -> (n, n_radial)."""
        return self.basis(distances)

    def jets(self, distances: Tensor) -> Tensor:
        """(n,) angstrom, positive -> (3, n, n_radial); frequencies are exact in every precision of the archive."""
        r = distances.unsqueeze(-1)
        numbers = torch.arange(1, self.basis.n_radial + 1, dtype=distances.dtype, device=distances.device)
        a = numbers * (math.pi / self.basis.cutoff)
        sine, cosine = torch.sin(a * r) / r, torch.cos(a * r) / r
        first = a * cosine - sine / r
        second = -a * a * sine - 2.0 * first / r
        return math.sqrt(2.0) * torch.stack([sine, first, second])


class GaussianJets(nn.Module):
    """:class:`GaussianBasis` with jets."""

    def __init__(self, basis: GaussianBasis) -> None:
        super().__init__()
        self.basis = basis

    def forward(self, distances: Tensor) -> Tensor:
        """(n,) angstrom -> (n, n_radial)."""
        return self.basis(distances)

    def jets(self, distances: Tensor) -> Tensor:
        """(n,) angstrom -> (3, n, n_radial)."""
        value = self.basis(distances)
        width = self.basis.width.abs() + 1e-5
        slope = self.basis.weight / (self.basis.cutoff * width)  # of z = (t - mean) / width
        t = (self.basis.weight * distances / self.basis.cutoff + self.basis.bias).unsqueeze(-1)
        z = (t - self.basis.mean) / width
        return torch.stack([value, -slope * z * value, slope * slope * (z * z - 1.0) * value])


class RadialJets(nn.Module):
    """:class:`RadialNetwork` with jets."""

    def __init__(self, network: RadialNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, basis: Tensor, pair: Tensor) -> Tensor:
        """(n_edges, n_radial), (n_edges,) int64 -> (n_edges, C)."""
        return self.network(basis, pair)

    def jets(self, basis: Tensor, pairs: Tensor) -> Tensor:
        """Jets of the basis (3, n, n_radial) for each pair of elements (n_pairs,) int64 -> (3, n_pairs, n, C).

        A network that ignores the elements gives one pair, whatever ``pairs`` holds.
        """
        net = self.network
        x = linear_jets(basis, net.first.weight, net.first.bias).unsqueeze(1)
        if net.pair_embedding is not None:
            x = x.expand(-1, pairs.size(0), -1, -1)
            x = torch.cat([x[:1] + net.pair_embedding(pairs).unsqueeze(1), x[1:]])
        if net.first_norm is not None:
            x = layer_norm_jets(x, net.first_norm.weight, net.first_norm.bias, net.first_norm.eps)
        x = linear_jets(net.silu_scale * silu_jets(x), net.second.weight, net.second.bias)
        if net.second_norm is not None:
            x = layer_norm_jets(x, net.second_norm.weight, net.second_norm.bias, net.second_norm.eps)
        return linear_jets(net.silu_scale * silu_jets(x), net.last.weight, net.last.bias)


def pair_term_jets(term: ZBL, distances: Tensor, pair: Tensor) -> Tensor:
    """Jets of r times the energy of a pair term, which stay finite where nuclei meet; by forward-mode differentiation.

    Args:
        term: pair term of the model.
        distances: (n,) angstrom, positive, float64.
        pair: (n,) int64, center * n_elements + neighbor.

    Returns:
        (3, n) eV angstrom, eV, eV/angstrom.
    """
    one = torch.ones_like(distances)

    def value(r: Tensor) -> Tensor:
        return r * term.pair_energy(r, pair)

    def slope(r: Tensor) -> Tensor:
        return torch.func.jvp(value, (r,), (one,))[1]

    return torch.stack([value(distances), *torch.func.jvp(slope, (distances,), (one,))])


def with_jets(module: nn.Module) -> nn.Module | None:
    """The class with jets for a radial basis or network, None for anything else."""
    if isinstance(module, BesselBasis):
        return BesselJets(module)
    if isinstance(module, GaussianBasis):
        return GaussianJets(module)
    return RadialJets(module) if isinstance(module, RadialNetwork) else None
