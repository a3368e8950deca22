"""The network in segments (see tdn.schema), between which ranks exchange rows. Everything here can be scripted.

Order of operations (published code): node embedding + degree embedding, layers, norm, energy head on scalars.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tdn.algebra.spherical_harmonics import spherical_harmonics
from tdn.config.model import ModelConfig
from tdn.model.attention import ForceHead, Layer, make_radial_network
from tdn.model.layers import SILU_SCALE, DoublePrecision, EquivariantNorm
from tdn.model.pair_term import make_pair_term
from tdn.model.product import make_column, make_coupling
from tdn.model.radial import make_basis, n_embedding_weights, polynomial_envelope


def safe_length(vectors: Tensor) -> Tensor:
    """Lengths (n,) of vectors (n, 3), at least 1e-6 angstrom, so that a zero vector has finite derivatives."""
    return torch.sqrt(torch.clamp((vectors * vectors).sum(-1), min=1e-12))


class EdgeFeatures(nn.Module):
    """Properties of an edge that all layers share: edge matrix, radial basis, envelope."""

    def __init__(self, config: ModelConfig, fitted: bool) -> None:
        super().__init__()
        self.l_max = config.l_max
        self.cutoff = config.cutoff
        self.power = config.envelope_power
        self.coupling = make_coupling(config, fitted)
        self.basis = make_basis(config)

    def forward(self, vectors: Tensor) -> list[Tensor]:
        """(n_edges, 3) angstrom -> [K (n_edges, d, d), basis (n_edges, n_radial), envelope (n_edges,)]."""
        distances = safe_length(vectors)
        matrix = self.coupling(spherical_harmonics(vectors / distances.unsqueeze(-1), self.l_max))
        return [matrix, self.basis(distances), polynomial_envelope(distances, self.cutoff, self.power)]


class Embedding(nn.Module):
    """A learned vector per element on the scalar row, plus the degree embedding.

    The degree embedding is the sum over neighbors of the product of a source vector (scalar row only) with the
    spherical harmonics, which is the first column of K, then a linear map. Published: one source vector for all
    elements and a bias per edge; md: the source belongs to the neighbor's element, and the weight fades at the cutoff.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_channels = config.n_channels
        self.smooth = config.smooth
        self.n_elements = config.n_elements
        self.scale = 1.0 / math.sqrt(config.avg_degree)
        self.elements = nn.Parameter(torch.randn(config.n_elements, n_channels))
        self.sources = nn.Parameter(torch.randn(config.n_elements if config.smooth else 1, n_channels))
        self.radial = make_radial_network(config, n_embedding_weights(config))
        self.n_path_weights = n_embedding_weights(config)
        self.column = make_column(config)
        self.project = nn.Linear(n_channels, n_channels, bias=not config.smooth)

    def forward(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """(n_owned,), (n_edges,), (n_edges,), edge features -> (n_owned, d, C)."""
        matrix, basis, envelope = features[0], features[1], features[2]
        n_owned, dim, n_channels = species.size(0), matrix.size(2), self.project.weight.size(1)
        weight = self.radial(basis, pair)
        source: Tensor = self.sources
        if self.smooth:
            weight = weight * envelope.unsqueeze(-1)
            source = source.index_select(0, torch.remainder(pair, self.n_elements))
        messages = self.column(matrix, weight * source.repeat(1, self.n_path_weights))
        degree = torch.zeros([n_owned, dim * n_channels], dtype=weight.dtype, device=weight.device)
        degree = degree.index_add(0, center, messages.flatten(1)).view(n_owned, dim, n_channels)
        degree = F.linear(degree, self.project.weight)
        scalar = self.elements.index_select(0, species) / self.scale
        bias = self.project.bias
        if bias is not None:
            count = torch.zeros([n_owned], dtype=weight.dtype, device=weight.device)
            scalar = scalar + count.index_add(0, center, torch.ones_like(weight[:, 0])).unsqueeze(-1) * bias
        return (degree + F.pad(scalar.unsqueeze(1), [0, 0, 0, dim - 1])) * self.scale


class References(DoublePrecision):
    """Element reference energies and the energy scale, always float64: total energies have ten digits."""

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class that are text
        energies: Tensor
        isolated: Tensor
        scale: Tensor

    def __init__(self, n_elements: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("energies", torch.zeros(n_elements, dtype=torch.float64))  # eV
        self.register_buffer("isolated", torch.zeros(n_elements, dtype=torch.float64))  # head's value without neighbors
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))  # eV

    def forward(self, values: Tensor, isolated: Tensor, species: Tensor) -> Tensor:
        """Head's values (n,), the values of isolated atoms (n_elements,) and species -> atom energies (n,) float64."""
        bound = values.to(torch.float64) - isolated.to(torch.float64).index_select(0, species)
        return bound * self.scale + self.energies.index_select(0, species)


class Network(nn.Module):
    """Weights and segments of a TDN model; ``fitted`` false leaves CP factors empty for a state to fill."""

    def __init__(self, config: ModelConfig, fitted: bool = True) -> None:
        super().__init__()
        self.smooth = config.smooth
        self.silu_scale = SILU_SCALE if config.smooth else 1.0
        self.geometry = EdgeFeatures(config, fitted)
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = EquivariantNorm(config.l_max, config.n_channels, config.norm)
        self.head_hidden = nn.Linear(config.n_channels, config.n_channels)
        self.head_out = nn.Linear(config.n_channels, 1)
        nn.init.zeros_(self.head_hidden.bias)
        nn.init.zeros_(self.head_out.bias)
        if config.smooth:  # start near the reference energies
            with torch.no_grad():
                self.head_out.weight.mul_(0.1)
        self.references = References(config.n_elements, 1.0 if config.smooth else config.avg_n_atoms**-0.5)
        self.pair_term = make_pair_term(config)
        self.force_head = ForceHead(config) if config.direct_forces else None

    @torch.jit.export
    def edge_features(self, vectors: Tensor, pair: Tensor) -> list[Tensor]:
        """Edge vectors (n_edges, 3) -> list of tensors (n_edges, ...) that the other segments read."""
        return self.geometry(vectors)

    @torch.jit.export
    def embed(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """Species (n_owned,) and edges -> features (n_owned, d, C)."""
        return self.embedding(species, center, pair, features)

    @torch.jit.export
    def head(self, x: Tensor) -> Tensor:
        """Features (n, d, C) -> the energy head's value of each atom (n,), before scale and references."""
        scalar = self.norm(x)[:, 0]
        hidden = self.silu_scale * F.silu(self.head_hidden(scalar))
        return self.head_out(hidden).squeeze(-1)

    @torch.jit.export
    def energies(self, values: Tensor, isolated: Tensor, species: Tensor, center: Tensor) -> Tensor:
        """Head's values (n_owned,) -> atom energies (n_owned,), eV, float64.

        md: an atom without neighbors has exactly its reference energy, since the head's value for it is subtracted.
        Paper: atoms without neighbors are not in the graph, so they have no energy.
        """
        if not self.smooth:
            bonded = torch.zeros_like(values).index_fill(0, center, 1.0)
            values = values * bonded
        return self.references(values, isolated, species)

    @torch.jit.export
    def readout(self, x: Tensor, species: Tensor, center: Tensor) -> Tensor:
        """Features (n_owned, d, C) -> atom energies (n_owned,), eV, float64."""
        return self.energies(self.head(x), self.references.isolated, species, center)
