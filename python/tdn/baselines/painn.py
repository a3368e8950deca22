"""PaiNN: Schütt, Unke, Gastegger 2021 (arXiv 2102.03150), written from the paper's formulas.

An atom has scalars s (n, C) and vectors v (n, 3, C). Every block adds a message (eqs. 7, 8) and an update (eqs. 9, 10).
Products without a sign are channel by channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tdn.config.baselines import PaiNNConfig
from tdn.model.network import safe_length
from tdn.model.radial import BesselBasis

#: Under the root of the length of V v, so that a vanishing vector has finite derivatives.
TINY = 1e-8


def cosine_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """1 at zero, 0 with a continuous first derivative at the cutoff and beyond; shape of ``distances``."""
    return 0.5 * (torch.cos(math.pi * torch.clamp(distances / cutoff, max=1.0)) + 1.0)


def network(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Linear, SiLU, linear; Xavier initialization with zero biases."""
    layers = nn.Sequential(nn.Linear(n_in, n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_out))
    for layer in (layers[0], layers[2]):
        start(layer)
    return layers


def start(layer: nn.Module) -> None:
    """Initialize the weights of a linear map."""
    assert isinstance(layer, nn.Linear)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Message(nn.Module):
    """Continuous-filter convolution of scalars and vectors.

    ds_i = sum_j phi_s(s_j) W_s(r_ij) (eq. 7), dv_i = sum_j v_j phi_vv(s_j) W_vv(r_ij) + phi_vs(s_j) W_vs(r_ij) u_ij
    (eq. 8) with the unit vector u_ij; the filters W are linear in the radial basis, times the cutoff function.
    """

    def __init__(self, config: PaiNNConfig) -> None:
        super().__init__()
        self.n_channels = config.n_channels
        self.phi = network(config.n_channels, config.n_channels, 3 * config.n_channels)
        self.filters = nn.Linear(config.n_radial, 3 * config.n_channels)
        start(self.filters)

    def forward(
        self, s: Tensor, v: Tensor, center: Tensor, neighbor: Tensor, edges: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Features and edges, which are basis (n_edges, n_radial), envelope and unit vectors -> ds, dv."""
        basis, envelope, units = edges
        weight = self.filters(basis) * envelope.unsqueeze(-1)
        scalar, old, new = (self.phi(s).index_select(0, neighbor) * weight).split(self.n_channels, dim=-1)
        vector = v.index_select(0, neighbor) * old.unsqueeze(1) + units.unsqueeze(-1) * new.unsqueeze(1)
        return torch.zeros_like(s).index_add(0, center, scalar), torch.zeros_like(v).index_add(0, center, vector)


class Update(nn.Module):
    """Mixes scalars and vectors of each atom.

    ds = a_ss + a_sv <U v, V v> (eq. 9), dv = a_vv U v (eq. 10); one network gives the a from s and the length of V v.
    """

    def __init__(self, config: PaiNNConfig) -> None:
        super().__init__()
        self.n_channels = config.n_channels
        self.maps = nn.Linear(config.n_channels, 2 * config.n_channels, bias=False)
        start(self.maps)
        self.a = network(2 * config.n_channels, config.n_channels, 3 * config.n_channels)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Features -> ds, dv."""
        u_v, v_v = self.maps(v).split(self.n_channels, dim=-1)
        length = torch.sqrt(v_v.square().sum(1) + TINY)
        a_ss, a_sv, a_vv = self.a(torch.cat([s, length], dim=-1)).split(self.n_channels, dim=-1)
        return a_ss + a_sv * (u_v * v_v).sum(1), a_vv.unsqueeze(1) * u_v


class PaiNN(nn.Module):
    """Embedding, blocks of message and update, energy head on the scalars."""

    def __init__(self, config: PaiNNConfig) -> None:
        super().__init__()
        self.cutoff = config.cutoff
        self.embedding = nn.Parameter(torch.randn(config.n_elements, config.n_channels))
        # sqrt(2) sin(n pi r / cutoff) / r: the paper's basis up to a factor that the filters learn
        self.basis = BesselBasis(config.n_radial, config.cutoff)
        self.messages = nn.ModuleList(Message(config) for _ in range(config.n_layers))
        self.updates = nn.ModuleList(Update(config) for _ in range(config.n_layers))
        self.head = network(config.n_channels, config.n_channels // 2, 1)

    def forward(self, species: Tensor, center: Tensor, neighbor: Tensor, vectors: Tensor) -> Tensor:
        """Species (n,), edges (n_edges,) and their vectors (n_edges, 3) angstrom -> values (n,)."""
        distances = safe_length(vectors)
        edges = (self.basis(distances), cosine_cutoff(distances, self.cutoff), vectors / distances.unsqueeze(-1))
        s = self.embedding.index_select(0, species)
        v = s.new_zeros(s.size(0), 3, s.size(1))
        for message, update in zip(self.messages, self.updates, strict=True):
            ds, dv = message(s, v, center, neighbor, edges)
            s, v = s + ds, v + dv
            ds, dv = update(s, v)
            s, v = s + ds, v + dv
        return self.head(s).squeeze(-1)
