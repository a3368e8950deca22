"""Functions of the edge length: envelope, bases and the network that gives radial weights.

Bessel basis: Gasteiger et al. 2020 (arXiv 2003.03123), eq. 7; envelope: the same, eq. 8. Gaussians and the network's
order of operations: the published TDN code (tdn-model: rbf, RadialProfile).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tdn.algebra.clebsch_gordan import admissible_paths
from tdn.config.model import ModelConfig
from tdn.model.layers import SILU_SCALE


def n_path_weights(config: ModelConfig) -> int:
    """Number of radial weights per edge and channel."""
    return 1 if config.path_weights == "shared" else len(admissible_paths(config.l_max, config.paths))


def n_embedding_weights(config: ModelConfig) -> int:
    """Number of radial weights per edge and channel in the degree embedding: a path for each degree of the result."""
    return 1 if config.path_weights == "shared" else config.l_max + 1


def polynomial_envelope(distances: Tensor, cutoff: float, power: int) -> Tensor:
    """1 at zero, 0 with two continuous derivatives at the cutoff and beyond; shape and dtype of ``distances``.

    1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), written as (1 - x)^3 sum_k (k+1)(k+2)/2 x^k with
    k = 0 .. p - 1, which stays accurate where it vanishes.
    """
    x = torch.clamp(distances / cutoff, max=1.0)
    total = torch.zeros_like(x)
    for k in range(power - 1, -1, -1):
        total = total * x + 0.5 * (k + 1.0) * (k + 2.0)
    gap = 1.0 - x
    return gap * gap * gap * total


class BesselBasis(nn.Module):
    """sqrt(2 / cutoff) sin(n pi r / cutoff) / r for n = 1 .. n_radial, scaled by the cutoff to be of order one."""

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class that are text
        frequencies: Tensor

    def __init__(self, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.register_buffer("frequencies", self._exact_frequencies().to(torch.get_default_dtype()), persistent=False)

    def _exact_frequencies(self) -> Tensor:
        return math.pi * torch.arange(1, self.n_radial + 1, dtype=torch.float64)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BesselBasis:
        """Convert from the exact values, so that float32 -> float64 does not keep rounded ones."""
        super()._apply(fn, recurse)
        self.frequencies = self._exact_frequencies().to(self.frequencies)
        return self

    def forward(self, distances: Tensor) -> Tensor:
        """(n_edges,) angstrom -> (n_edges, n_radial)."""
        x = (distances / self.cutoff).unsqueeze(-1)
        return math.sqrt(2.0) * torch.sin(self.frequencies * x) / (x * self.cutoff)


class GaussianBasis(nn.Module):
    """Trained normal densities of t = weight r / cutoff + bias (published model); never zero at the cutoff."""

    def __init__(self, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.mean = nn.Parameter(torch.rand(n_radial))
        self.width = nn.Parameter(torch.empty(n_radial).uniform_(1.0 / n_radial, 1.0))
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, distances: Tensor) -> Tensor:
        """(n_edges,) angstrom -> (n_edges, n_radial)."""
        t = (self.weight * distances / self.cutoff + self.bias).unsqueeze(-1)
        width = self.width.abs() + 1e-5
        return torch.exp(-0.5 * ((t - self.mean) / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)


def make_basis(config: ModelConfig) -> BesselBasis | GaussianBasis:
    """The radial basis for a model's settings: published or smooth."""
    return (BesselBasis if config.smooth else GaussianBasis)(config.n_radial, config.cutoff)


class PairEmbedding(nn.Module):
    """A learned vector for the ordered pair of elements: T[Z_i, Z_j], or U[Z_i] + V[Z_j] for many elements."""

    def __init__(self, n_elements: int, width: int, per_pair: bool) -> None:
        super().__init__()
        self.per_pair = per_pair
        self.n_elements = n_elements
        self.table = nn.Parameter(torch.randn(n_elements**2 if per_pair else 2 * n_elements, width))

    def forward(self, pair: Tensor) -> Tensor:
        """(n_edges,) int64, center * n_elements + neighbor -> (n_edges, width)."""
        if self.per_pair:
            return self.table.index_select(0, pair)
        center = torch.div(pair, self.n_elements, rounding_mode="floor")
        neighbor = torch.remainder(pair, self.n_elements) + self.n_elements
        return self.table.index_select(0, center) + self.table.index_select(0, neighbor)


class RadialNetwork(nn.Module):
    """Radial basis (and elements) -> one weight per edge and channel.

    Linear, LayerNorm, SiLU, Linear, LayerNorm, SiLU, Linear + offset (``normed``, published), or without the norms:
    then initial weights are normal and SiLU is scaled to unit second moment, which keeps the size of the features.
    With ``pair_embedding`` a vector of the two elements is added before the first activation (md setting); without it
    the network ignores the elements (paper).
    """

    def __init__(
        self,
        n_radial: int,
        hidden: tuple[int, int],
        n_channels: int,
        pair_embedding: PairEmbedding | None,
        normed: bool = True,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(n_radial, hidden[0])
        self.first_norm = nn.LayerNorm(hidden[0]) if normed else None
        self.second = nn.Linear(hidden[0], hidden[1])
        self.second_norm = nn.LayerNorm(hidden[1]) if normed else None
        self.last = nn.Linear(hidden[1], n_channels)
        self.pair_embedding = pair_embedding
        self.silu_scale = 1.0 if normed else SILU_SCALE
        if not normed:
            for linear in (self.first, self.second, self.last):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
                nn.init.zeros_(linear.bias)

    def forward(self, basis: Tensor, pair: Tensor) -> Tensor:
        """(n_edges, n_radial), (n_edges,) int64 -> (n_edges, n_channels)."""
        hidden = self.first(basis)
        if self.pair_embedding is not None:
            hidden = hidden + self.pair_embedding(pair)
        if self.first_norm is not None:
            hidden = self.first_norm(hidden)
        hidden = self.second(self.silu_scale * F.silu(hidden))
        if self.second_norm is not None:
            hidden = self.second_norm(hidden)
        return self.last(self.silu_scale * F.silu(hidden))
