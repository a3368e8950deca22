"""Equivariant graph attention over the edges of each center (paper, Sec. 3.2; order of the published code).

    a_j = W_s x_j + b_s,  c_i = W_d x_i,  m_ij = w_ij * K_ij (a_j + c_i)           first tensor product
    logit_h = <alpha_h, SmoothLeakyReLU(W_alpha m_ij + b)_h>,  v_ij = Gate(W_v m_ij)
    out_i = W_o sum_j attention_ij,h (w_ij * K_ij v_ij)_h                            second tensor product

K_ij is the edge matrix of the coupling tensor with the spherical harmonics, w_ij the radial weights (shared by both
products). ``send`` computes the rows a_j, the only data that a center reads of its neighbors and that ranks exchange.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tdn.config.model import MAX_PAIR_ELEMENTS, ModelConfig
from tdn.model.layers import EquivariantNorm, FeedForward, Gate, SharedLinear
from tdn.model.product import make_product
from tdn.model.radial import PairEmbedding, RadialNetwork, n_path_weights


def smooth_leaky_relu(x: Tensor) -> Tensor:
    """(1 + a) / 2 x + (1 - a) / 2 x (2 sigmoid(x) - 1) with a = 0.2, elementwise."""
    return 0.6 * x + 0.4 * x * (2.0 * torch.sigmoid(x) - 1.0)


def peak_per_center(logits: Tensor, center: Tensor, floor: Tensor) -> Tensor:
    """Largest logit of each center and head, at least ``floor`` (n_owned, H); carries no gradient."""
    index = center.unsqueeze(-1).expand_as(logits)
    return floor.detach().scatter_reduce(0, index, logits.detach(), "amax")


class EnvelopeSoftmax(nn.Module):
    """Softmax over the edges of a center, with weights u(r) so that an edge fades in and out smoothly (md).

    attention_ij = u_ij exp(logit_ij) / (exp(constant) + sum_k u_ik exp(logit_ik))

    The constant keeps the sum smooth when the last neighbor leaves. In the paper's setting u = 1, without a constant.
    """

    def __init__(self, n_heads: int, smooth: bool) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(n_heads)) if smooth else None

    def numbers(self) -> dict[str, float]:
        """What an engine must know of the kind besides the constant, by name."""
        return {"sigmoid_attention": 0.0}

    def forward(self, logits: Tensor, envelope: Tensor, center: Tensor, n_owned: int) -> Tensor:
        """Logits (n_edges, H), envelope (n_edges,) -> attention (n_edges, H).

        The largest logit is subtracted against overflow; the result does not depend on it, so it needs no gradient.
        """
        constant = self.constant
        if constant is None:
            peak = peak_per_center(
                logits,
                center,
                torch.full([n_owned, logits.size(1)], -math.inf, dtype=logits.dtype, device=logits.device),
            )
            numerator = torch.exp(logits - peak.index_select(0, center))
            total = torch.full_like(peak, 1e-16)
        else:
            floor = constant.unsqueeze(0).expand(n_owned, -1)
            peak = peak_per_center(logits, center, floor)
            numerator = envelope.unsqueeze(-1) * torch.exp(logits - peak.index_select(0, center))
            total = torch.exp(floor - peak)
        total = total.index_add(0, center, numerator)
        return numerator / total.index_select(0, center)


class EnvelopeSigmoid(nn.Module):
    """Weights of edges that do not depend on the other edges of their center (md, ``attention: sigmoid``).

    attention_ij = 2 / sqrt(average degree) u_ij sigmoid(logit_ij + constant)

    A sum over neighbors with a gate for each head (sigmoid attention: Ramapuram et al. 2024, arXiv 2409.04431). The
    scale gives the sum of about (average degree) messages, each initially halved, the size of one message.
    """

    def __init__(self, n_heads: int, avg_degree: float) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(n_heads))
        self.scale = 2.0 / math.sqrt(avg_degree)

    def numbers(self) -> dict[str, float]:
        """What an engine must know of the kind besides the constant, by name."""
        return {"sigmoid_attention": self.scale}

    def forward(self, logits: Tensor, envelope: Tensor, center: Tensor, n_owned: int) -> Tensor:
        """Logits (n_edges, H), envelope (n_edges,) -> attention (n_edges, H)."""
        return self.scale * envelope.unsqueeze(-1) * torch.sigmoid(logits + self.constant)


class Attention(nn.Module):
    """One attention block; ``send`` is node-wise, ``receive`` works on edges."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_channels = config.n_channels
        self.n_heads = config.n_heads
        self.smooth = config.smooth
        self.dropout = float(config.attention_dropout)
        self.merge_neighbor = SharedLinear(n_channels, n_channels)
        self.merge_center = SharedLinear(n_channels, n_channels, bias=False)
        self.radial = make_radial_network(config, n_path_weights(config))
        self.logits = nn.Linear(n_channels, n_channels)
        self.values = nn.Linear(n_channels, n_channels, bias=False)
        self.values_bias = nn.Parameter(torch.zeros(n_channels))
        self.gates = nn.Linear(n_channels, n_channels)
        for linear in (self.logits, self.gates):
            nn.init.zeros_(linear.bias)
        head_width = n_channels // config.n_heads
        bound = math.sqrt(6.0 / (config.n_heads + head_width))
        self.query = nn.Parameter(torch.empty(config.n_heads, head_width).uniform_(-bound, bound))
        self.softmax: EnvelopeSoftmax | EnvelopeSigmoid  # under one name in checkpoints
        if config.attention == "sigmoid":
            self.softmax = EnvelopeSigmoid(config.n_heads, config.avg_degree)
        else:
            self.softmax = EnvelopeSoftmax(config.n_heads, config.smooth)
        self.gate = Gate(config.smooth)
        self.product = make_product(config)
        self.out = SharedLinear(n_channels, n_channels)

    def send(self, x: Tensor) -> Tensor:
        """Normalized features (n_owned, d, C) -> rows (n_owned, d C) that centers read of their neighbors."""
        return self.merge_neighbor(x).flatten(1)

    def receive(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """Normalized features (n_owned, d, C) and rows of all atoms (n_rows, d C) -> (n_owned, d, C)."""
        n_owned, dim, n_channels = x.size(0), x.size(1), x.size(2)
        matrix, basis, envelope = features[0], features[1], features[2]
        weight = self.radial(basis, pair)  # (n_edges, C), or (n_edges, P C) with a weight for each of P paths
        if self.smooth:
            weight = weight * envelope.unsqueeze(-1)
        merged = rows.index_select(0, neighbor) + self.merge_center(x).flatten(1).index_select(0, center)
        message = self.product(matrix, merged.view(-1, dim, n_channels), weight)
        scalar = message[:, 0]
        values = self.values(message)
        values = torch.cat([values[:, :1] + self.values_bias, values[:, 1:]], dim=1)
        values = self.gate(values, self.gates(scalar))
        logits = smooth_leaky_relu(self.logits(scalar)).view(-1, self.n_heads, n_channels // self.n_heads)
        logits = (logits * self.query).sum(-1)  # (n_edges, H)
        attention = self.softmax(logits, envelope, center, n_owned)
        if self.training and self.dropout > 0.0:
            attention = F.dropout(attention, self.dropout, True)
        by_heads = weight.view(center.size(0), weight.size(1) // n_channels, self.n_heads, n_channels // self.n_heads)
        weight = (by_heads * attention.unsqueeze(1).unsqueeze(-1)).flatten(1)
        contributions = self.product(matrix, values, weight)
        total = torch.zeros_like(x).flatten(1).index_add(0, center, contributions.flatten(1))
        return self.out(total.view(n_owned, dim, n_channels))


class Layer(nn.Module):
    """x <- x + Attention(Norm(x)); x <- x + FeedForward(Norm(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = EquivariantNorm(config.l_max, config.n_channels, config.norm)
        self.attention = Attention(config)
        self.feed_forward_norm = EquivariantNorm(config.l_max, config.n_channels, config.norm)
        self.feed_forward = FeedForward(config.n_channels, config.smooth)

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """Features (n_owned, d, C) -> rows (n_owned, d C) that neighbors on other ranks need."""
        return self.attention.send(self.attention_norm(x))

    @torch.jit.export
    def update(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """Features (n_owned, d, C) and rows of owned and received atoms (n_rows, d C) -> (n_owned, d, C)."""
        x = x + self.attention.receive(self.attention_norm(x), rows, center, neighbor, pair, features)
        return x + self.feed_forward(self.feed_forward_norm(x))


class ForceHead(nn.Module):
    """Direct forces: an attention block on the normalized features, then one channel of its l = 1 rows."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = EquivariantNorm(config.l_max, config.n_channels, config.norm)
        self.attention = Attention(config)
        self.project = nn.Linear(config.n_channels, 1, bias=False)

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """Features (n_owned, d, C) -> rows (n_owned, d C)."""
        return self.attention.send(self.norm(x))

    @torch.jit.export
    def forces(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """Features and rows of all atoms -> forces (n_owned, 3), eV/angstrom, x y z; zero for isolated atoms."""
        out = self.attention.receive(self.norm(x), rows, center, neighbor, pair, features)
        return self.project(out[:, 1:4]).squeeze(-1)


def make_radial_network(config: ModelConfig, n_weights: int) -> RadialNetwork:
    """Radial network of one block with ``n_weights`` per channel; ignores the elements in the paper's setting."""
    embedding = None
    if config.smooth:
        per_pair = config.pair_embedding == "pair" or (
            config.pair_embedding == "auto" and config.n_elements <= MAX_PAIR_ELEMENTS
        )
        embedding = PairEmbedding(config.n_elements, config.radial_hidden[0], per_pair)
    return RadialNetwork(
        config.n_radial,
        config.radial_hidden,
        n_weights * config.n_channels,
        embedding,
        normed=config.radial_norm == "layer",
    )
