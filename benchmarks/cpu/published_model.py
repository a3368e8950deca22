"""The published model in its own order of operations, eager PyTorch, with the weights of one of our ``paper`` models.

Nothing is merged, shared or left out: every linear map acts on all d components of all edges although alpha, the gate
and the head read component 0 alone, the degree embedding is projected edge by edge, each product makes its own K_e from
the CP factors, each block has its own radial network, and biases are added in place. What the published code does
before (neighbor search, removal of isolated atoms) is not part of it. Weights ask for no gradient unless wanted, so a
linear map on edges keeps no copy of its input, as it would in the published code. Written from the formulas of the
paper (arXiv 2507.01131, Sec. 3.2) and the documented behavior of its code.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tdn.algebra.spherical_harmonics import spherical_harmonics
from tdn.data.graph import Graph
from tdn.model import TDN
from tdn.model.attention import Attention, Layer, smooth_leaky_relu
from tdn.model.layers import EquivariantNorm
from tdn.model.product import CPCoupling
from tdn.model.radial import RadialNetwork

MAX_ATOM_TYPE = 80


class LinearOnAll(nn.Module):
    """One matrix for all components; the bias is added in place to component 0."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def own(self, trained: bool) -> None:
        """Replace the given weights by copies: parameters, or constants."""
        for name in ("weight", "bias"):
            value = getattr(self, name)
            if value is not None:
                delattr(self, name)
                value = value.detach().clone()
                if trained:
                    self.register_parameter(name, nn.Parameter(value))
                else:
                    self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, C_in) -> (n, d, C_out)."""
        out = F.linear(x, self.weight)
        if self.bias is not None:
            out[:, 0].add_(self.bias)
        return out


class Product(nn.Module):
    """out_kc = sum_i K_ki w_c x_ic, K_ki = sum_r (B^T Y)_r A_ir C_kr, recomputed by every product."""

    def __init__(self, coupling: CPCoupling) -> None:
        super().__init__()
        for name in ("first", "second", "output"):
            self.register_buffer(name, getattr(coupling, name).clone())

    def forward(self, x: Tensor, harmonics: Tensor, weight: Tensor) -> Tensor:
        """(n_edges, d, C), (n_edges, d), (n_edges, 1, C) -> (n_edges, d, C)."""
        dim = x.size(1)
        x = weight * x
        terms = harmonics @ self.second  # (n_edges, R)
        pairs = self.output.unsqueeze(1) * self.first.unsqueeze(0)  # (d, d, R)
        matrix = (terms @ pairs.flatten(0, 1).t()).view(-1, dim, dim)
        return torch.bmm(matrix, x)


class Radial(nn.Module):
    """Linear, LayerNorm, SiLU, Linear, LayerNorm, SiLU, Linear without bias, plus offset."""

    def __init__(self, ours: RadialNetwork) -> None:
        super().__init__()
        self.hidden = nn.Sequential(ours.first, ours.first_norm, nn.SiLU(), ours.second, ours.second_norm, nn.SiLU())
        self.last, self.offset = ours.last.weight, ours.last.bias

    def forward(self, basis: Tensor) -> Tensor:
        """(n_edges, 1, n_radial) -> (n_edges, 1, C)."""
        return F.linear(self.hidden(basis), self.last) + self.offset


class Norm(nn.Module):
    """LayerNorm per degree: x (n + 1e-5)^(-1/2) weight, n the mean square; l = 0 is centered and has a bias."""

    def __init__(self, ours: EquivariantNorm) -> None:
        super().__init__()
        self.weight, self.bias = ours.weight, ours.bias

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, C) -> (n, d, C)."""
        blocks = []
        for degree, weight in enumerate(self.weight):
            block = x[:, degree**2 : (degree + 1) ** 2]
            if degree == 0:
                block = block - block.mean(dim=2, keepdim=True)
            mean_square = block.pow(2).mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)
            block = block * (mean_square + 1e-5).pow(-0.5) * weight
            blocks.append(block + self.bias if degree == 0 else block)
        return torch.cat(blocks, dim=1)


def gate(x: Tensor) -> Tensor:
    """(n, d, 2 C) -> (n, d, C): SiLU on component 0, the others times the sigmoid of the second half's component 0."""
    values, gates = x.chunk(2, dim=2)
    return torch.cat([F.silu(values[:, :1]), values[:, 1:] * torch.sigmoid(gates[:, :1])], dim=1)


def activation(x: Tensor) -> Tensor:
    """SiLU on component 0."""
    return torch.cat([F.silu(x[:, :1]), x[:, 1:]], dim=1)


def softmax_per_center(logits: Tensor, center: Tensor, n_atoms: int) -> Tensor:
    """Logits (n_edges, H) -> weights that add up to 1 for each center."""
    index = center.unsqueeze(1).expand_as(logits)
    peak = logits.new_zeros(n_atoms, logits.size(1)).scatter_reduce(
        0, index, logits.detach(), "amax", include_self=False
    )
    numerator = (logits - peak.index_select(0, center)).exp()
    total = logits.new_zeros(n_atoms, logits.size(1)).index_add(0, center, numerator) + 1e-16
    return numerator / total.index_select(0, center)


class PublishedAttention(nn.Module):
    """Merge, first product, alpha and values on all components, second product with the same radial weights."""

    def __init__(self, ours: Attention, coupling: CPCoupling) -> None:
        super().__init__()
        self.merge_source = LinearOnAll(ours.merge_neighbor.weight, ours.merge_neighbor.bias)
        self.merge_target = LinearOnAll(ours.merge_center.weight)
        self.radial = Radial(ours.radial)
        self.first_product, self.second_product = Product(coupling), Product(coupling)
        self.alpha = LinearOnAll(ours.logits.weight, ours.logits.bias)
        self.query = ours.query
        self.values = LinearOnAll(
            torch.cat([ours.values.weight, ours.gates.weight]), torch.cat([ours.values_bias, ours.gates.bias])
        )
        self.project = LinearOnAll(ours.out.weight, ours.out.bias)
        self.dropout = ours.dropout

    def forward(self, x: Tensor, source: Tensor, target: Tensor, harmonics: Tensor, basis: Tensor) -> Tensor:
        """(n_atoms, d, C) -> (n_atoms, d, C); edges go from ``source`` to ``target``."""
        n_edges, n_heads = len(source), self.query.size(0)
        message = self.merge_source(x)[source] + self.merge_target(x)[target]
        weight = self.radial(basis)
        message = self.first_product(message, harmonics, weight)
        alpha = self.alpha(message)[:, 0].view(n_edges, n_heads, -1)
        logits = (smooth_leaky_relu(alpha) * self.query).sum(-1)
        attention = F.dropout(softmax_per_center(logits, target, len(x)), self.dropout, self.training)
        values = self.second_product(gate(self.values(message)), harmonics, weight)
        values = values.view(n_edges, x.size(1), n_heads, -1) * attention.view(n_edges, 1, n_heads, 1)
        return self.project(torch.zeros_like(x).index_add(0, target, values.flatten(2)))


class Block(nn.Module):
    """x <- x + Attention(Norm(x)); x <- x + FeedForward(Norm(x))."""

    def __init__(self, ours: Layer, coupling: CPCoupling) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(ours.attention_norm), Norm(ours.feed_forward_norm)
        self.attention = PublishedAttention(ours.attention, coupling)
        values, gates, out = ours.feed_forward.values, ours.feed_forward.gates, ours.feed_forward.out
        self.inner = LinearOnAll(torch.cat([values.weight, gates.weight]), torch.cat([values.bias, gates.bias]))
        self.outer = LinearOnAll(out.weight, out.bias)

    def forward(self, x: Tensor, *edges: Tensor) -> Tensor:
        """(n_atoms, d, C) -> (n_atoms, d, C)."""
        x = x + self.attention(self.norm1(x), *edges)
        return x + self.outer(gate(self.inner(self.norm2(x))))


class PublishedOrder(nn.Module):
    """Energy and forces as the published code computes them, from a ``paper`` model with CP factors.

    Args:
        ours: the model.
        weights: ``constant`` copies; ``trained``, copies that are parameters of their own, with dropout in ``train()``;
            or ``shared``, the model's own, whose gradients a single backward pass fills.
    """

    def __init__(self, ours: TDN, weights: str = "constant") -> None:
        super().__init__()
        ours = ours if weights == "shared" else copy.deepcopy(ours)
        network, config = ours.network, ours.config
        coupling, embedding = network.geometry.coupling, network.embedding
        if config.smooth or not isinstance(coupling, CPCoupling):
            raise ValueError("the published order needs a model of the paper setting with cp_rank")
        self.l_max, self.cutoff, self.basis = config.l_max, config.cutoff, network.geometry.basis
        self.avg_degree, self.avg_n_atoms = config.avg_degree, config.avg_n_atoms
        elements, source = embedding.elements, embedding.sources[0]
        self.atom_types = LinearOnAll(F.pad(elements.t(), (1, MAX_ATOM_TYPE - 1 - len(elements))))
        # Our state keeps the sum over the columns of this matrix; any matrix with this sum does the same work.
        self.expand = LinearOnAll((source / len(source)).unsqueeze(1).repeat(1, len(source)), torch.zeros_like(source))
        self.degree_radial, self.degree_product = Radial(embedding.radial), Product(coupling)
        self.degree_project = LinearOnAll(embedding.project.weight, embedding.project.bias)
        self.blocks = nn.ModuleList(Block(layer, coupling) for layer in network.layers)
        self.norm = Norm(network.norm)
        self.head_hidden = LinearOnAll(network.head_hidden.weight, network.head_hidden.bias)
        self.head_out = LinearOnAll(network.head_out.weight, network.head_out.bias)
        head = network.force_head
        self.force_head = None if head is None else PublishedAttention(head.attention, coupling)
        self.force_project = None if head is None else LinearOnAll(head.project.weight)
        self.take_weights(weights)

    def take_weights(self, weights: str) -> None:
        """Make copies of the weights that the model was built with, unless they are shared."""
        self.eval()
        if weights == "shared":
            return
        for module in self.modules():
            if isinstance(module, LinearOnAll):
                module.own(weights == "trained")
        self.requires_grad_(weights == "trained")

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Energies of the structures (n_graphs,) and forces (n_atoms, 3), the gradient by the positions."""
        energy, forces = self.with_gradient(graph, training=False)
        return energy.detach(), forces

    def with_gradient(self, graph: Graph, training: bool = True) -> tuple[Tensor, Tensor]:
        """Energies and minus their gradient by the positions, which a loss can be differentiated through."""
        moved = torch.zeros(len(graph.species), 3, dtype=graph.vectors.dtype, device=graph.vectors.device)
        source, target = graph.neighbor, graph.center
        moved.requires_grad_()
        energy = self.energy(graph, moved[source] - moved[target] + graph.vectors)
        (gradient,) = torch.autograd.grad(energy.sum(), moved, create_graph=training)
        return energy, -gradient

    def with_direct(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Energies (n_graphs,) and forces (n_atoms, 3) of the direct head."""
        x, edges = self.features(graph, graph.vectors)
        forces = self.force_project(self.force_head(x, *edges))[:, 1:4, 0]
        return self.read_energy(graph, x), forces

    def energy(self, graph: Graph, vectors: Tensor) -> Tensor:
        """Edge vectors (n_edges, 3) -> per-atom energy of each structure (n_graphs,)."""
        return self.read_energy(graph, self.features(graph, vectors)[0])

    def features(self, graph: Graph, vectors: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Edge vectors (n_edges, 3) -> features (n_atoms, d, C) behind the last norm, and what blocks read of edges."""
        distances = vectors.norm(dim=1)
        harmonics = spherical_harmonics(vectors / distances.unsqueeze(1), self.l_max)
        edges = (graph.neighbor, graph.center, harmonics, self.basis(distances).unsqueeze(1))
        x = self.embed(graph.species, *edges)
        for block in self.blocks:
            x = block(x, *edges)
        return self.norm(x), edges

    def read_energy(self, graph: Graph, x: Tensor) -> Tensor:
        """Features (n_atoms, d, C) -> per-atom energy of each structure (n_graphs,)."""
        values = self.head_out(activation(self.head_hidden(x)))  # (n_atoms, d, 1)
        total = values.new_zeros(graph.n_graphs, *values.shape[1:]).index_add(0, graph.batch, values)
        return (total / math.sqrt(self.avg_n_atoms))[:, 0, 0]

    def embed(self, species: Tensor, source: Tensor, target: Tensor, harmonics: Tensor, basis: Tensor) -> Tensor:
        """Species (n_atoms,) and edges -> features (n_atoms, d, C)."""
        dim, n_channels = harmonics.size(1), self.expand.weight.size(0)
        one_hot = F.one_hot(species + 1, MAX_ATOM_TYPE).to(basis.dtype)
        atoms = F.pad(self.atom_types(one_hot.unsqueeze(1)), (0, 0, 0, dim - 1))
        ones = F.pad(basis.new_ones(len(species), 1, n_channels), (0, 0, 0, dim - 1))
        messages = self.degree_product(self.expand(ones)[source], harmonics, self.degree_radial(basis))
        messages = self.degree_project(messages)
        return atoms + torch.zeros_like(atoms).index_add(0, target, messages) / math.sqrt(self.avg_degree)
