"""The computation of the fused engine from ``fused_weights`` in plain PyTorch: the reference of its kernels.

Names of the weights; d = (l_max + 1)^2 components, C channels, H heads, linear maps (n_out, n_in), all float64:

    coupling (d, d, d)                    K_ki = sum_j M_kij Y_j, Y component-normalized
    cutoff, envelope_power ()             angstrom; power 0: no envelope (paper)
    norm_eps ()                           of norms of l >= 1; those of scalars have 1e-5
    norm_divides ()                       0: norms are only their weights and biases
    sigmoid_attention ()                  scale of sigmoids instead of the softmax; 0: softmax
    silu_scale, sigmoid_scale, n_layers ()
    embedding.elements (n_elements, C)    added to the scalar row
    embedding.edge_bias (C)               added to the scalar row once for each edge of the center
    embedding.project.weight (C, C)
    embedding.table (.., W_e C)           radial weights times the source vector of the neighbor's element
    layers.K.norm.weight (l_max + 1, C)  .bias (C)
    layers.K.send.weight (C, C)  .bias (C)        layers.K.center.weight (C, C)
    layers.K.table (.., W C)
    layers.K.edge.weight (3 C, C)  .bias (3 C)    values, gates, logits
    layers.K.query (H, C / H)                     layers.K.constant (H), empty in the paper's setting
    layers.K.out.weight (C, C)  .bias (C)
    layers.K.feed_forward.norm.*, .in.weight (2 C, C), .in.bias (2 C) (values, gates), .out.weight (C, C), .out.bias (C)
    readout.norm.weight (C)  .bias (C)            readout.hidden.weight (C, C)  .bias (C)
    readout.out.weight (C)  .bias ()
    references.energies (n_elements), .scale ()   eV
    pair_term.table (n_tables, n_knots, 3, 1)     r times the energy of an edge, eV angstrom, with a pair term
    pair_term.reach (n_tables)                    angstrom: position of the last knot, where the term ends
    force_head.*                          with direct forces: as a layer up to ``constant``; force_head.project (C)

Other tables are (n_tables, n_knots, 3, W C), see ``tdn.deployment.tables``; the envelope multiplies their values. A
channel has W = 1 weight, or one for each path (``path_weights: separate``) in the order of ``paths_by_product``; in the
embedding, whose first operand is scalar, W_e = l_max + 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tdn.algebra.clebsch_gordan import degree_slice, paths_by_product
from tdn.algebra.spherical_harmonics import spherical_harmonics
from tdn.deployment.tables import evaluate_table
from tdn.model.radial import polynomial_envelope


@dataclass(frozen=True)
class Edges:
    """Edges of atoms 0 .. n_atoms - 1, and their properties that all layers share."""

    n_atoms: int
    center: Tensor  #: (n_edges,) int64
    neighbor: Tensor  #: (n_edges,) int64
    table: Tensor  #: (n_edges,) int64, slot in the tables
    distances: Tensor  #: (n_edges,) angstrom
    envelope: Tensor  #: (n_edges,)
    matrix: Tensor  #: K, (n_edges, d, d)
    by_path: Tensor  #: K of each path that has a weight, (n_edges, W, d, d)

    def sum_to_centers(self, messages: Tensor) -> Tensor:
        """(n_edges, ...) -> (n_atoms, ...)."""
        return messages.new_zeros(self.n_atoms, *messages.shape[1:]).index_add(0, self.center, messages)


class EagerTwin:
    """The rewritten network. Gradients come from autograd.

    Args:
        weights: result of ``fused_weights``.
        n_elements: number of elements of the model.
    """

    def __init__(self, weights: dict[str, Tensor], n_elements: int) -> None:
        self.weights = weights
        self.n_elements = n_elements
        self.cutoff = float(weights["cutoff"])
        self.power = int(weights["envelope_power"])
        self.n_layers = int(weights["n_layers"])
        self.l_max = math.isqrt(weights["coupling"].size(0)) - 1
        sizes = 2 * torch.arange(self.l_max + 1) + 1
        self.degrees = torch.arange(self.l_max + 1).repeat_interleave(sizes)  #: of the components, (d,)

    def atom_energies(
        self, species: Tensor, center: Tensor, neighbor: Tensor, pair_slot: Tensor, vectors: Tensor
    ) -> Tensor:
        """Energies of atoms, eV.

        Args:
            species: (n_atoms,) int64.
            center: (n_edges,) int64.
            neighbor: (n_edges,) int64.
            pair_slot: table of each edge's pair of elements, (n_edges,) int64; zeros if there is one table.
            vectors: r_j - r_i, (n_edges, 3) angstrom, float64.

        Returns:
            (n_atoms,) float64.
        """
        if self.power == 0:  # paper: an atom without edges is not in the graph
            edges = self.edge_features(species.size(0), center, neighbor, pair_slot, vectors)
            bonded = torch.zeros_like(species).index_fill(0, center, 1)
            bound = self.readout(self.features(species, edges)) * bonded
        else:  # one isolated atom of each element follows the others; its energy is the reference
            everyone = torch.cat([species, torch.arange(self.n_elements)])
            edges = self.edge_features(everyone.size(0), center, neighbor, pair_slot, vectors)
            values, isolated = self.readout(self.features(everyone, edges)).split([species.size(0), self.n_elements])
            bound = values - isolated.index_select(0, species)
        energies = bound * self.weights["references.scale"]
        energies = energies + self.weights["references.energies"].index_select(0, species)
        return energies.index_add(0, center, self.pair_energies(edges))

    def pair_energies(self, edges: Edges) -> Tensor:
        """What the pair term adds to the energy of each edge's center, (n_edges,) eV; zeros without one."""
        energies = torch.zeros_like(edges.distances)
        if "pair_term.table" not in self.weights:
            return energies
        reach = self.weights["pair_term.reach"].index_select(0, edges.table)
        near = torch.nonzero(edges.distances < reach).squeeze(1)
        r, slots = edges.distances.index_select(0, near), edges.table.index_select(0, near)
        by_length = evaluate_table(self.weights["pair_term.table"], slots, r, reach.index_select(0, near)).squeeze(1)
        return energies.index_add(0, near, by_length / r)

    def direct_forces(
        self, species: Tensor, center: Tensor, neighbor: Tensor, pair_slot: Tensor, vectors: Tensor
    ) -> Tensor:
        """Forces of the direct head, (n_atoms, 3) eV/angstrom; arguments as in :meth:`atom_energies`."""
        edges = self.edge_features(species.size(0), center, neighbor, pair_slot, vectors)
        x = self.norm(self.features(species, edges), "force_head.norm")
        return self.attention(x, edges, "force_head")[:, 1:4] @ self.weights["force_head.project"]

    def edge_features(self, n_atoms: int, center: Tensor, neighbor: Tensor, table: Tensor, vectors: Tensor) -> Edges:
        """Distances, envelope and K of all edges."""
        distances = torch.clamp(torch.linalg.vector_norm(vectors, dim=-1), min=1e-6)
        harmonics = spherical_harmonics(vectors / distances.unsqueeze(-1), self.l_max)
        matrix = torch.einsum("kij,ej->eki", self.weights["coupling"], harmonics)
        by_path = matrix.unsqueeze(1)
        if n_weights(self.weights, "layers.0") > 1:
            by_path = torch.einsum("pkij,ej->epki", self.path_couplings(), harmonics)
        envelope = torch.ones_like(distances)
        if self.power:
            envelope = polynomial_envelope(distances, self.cutoff, self.power)
        return Edges(n_atoms, center, neighbor, table, distances, envelope, matrix, by_path)

    def path_couplings(self) -> Tensor:
        """The coupling tensor of each path, (n_paths, d, d, d)."""
        coupling = self.weights["coupling"]
        parts = []
        for first, second, product in paths_by_product(self.l_max, "o3"):
            block = degree_slice(product), degree_slice(first), degree_slice(second)
            part = torch.zeros_like(coupling)
            part[block] = coupling[block]
            parts.append(part)
        return torch.stack(parts)

    def features(self, species: Tensor, edges: Edges) -> Tensor:
        """Embedding and layers: (n_atoms, d, C)."""
        x = self.embed(species, edges)
        for k in range(self.n_layers):
            layer = f"layers.{k}"
            out = self.attention(self.norm(x, layer + ".norm"), edges, layer)
            x = x + self.linear(out, layer + ".out")
            x = x + self.feed_forward(self.norm(x, layer + ".feed_forward.norm"), layer + ".feed_forward")
        return x

    def embed(self, species: Tensor, edges: Edges) -> Tensor:
        """The degree embedding on all rows, the element's vector on the scalar row."""
        weight = self.radial(edges, "embedding").unflatten(1, (-1, n_channels(self.weights)))
        if weight.size(1) > 1:  # one for each degree of the result
            weight = weight.index_select(1, self.degrees)
        messages = edges.matrix[:, :, :1] * weight
        x = F.linear(edges.sum_to_centers(messages), self.weights["embedding.project.weight"])
        count = edges.sum_to_centers(torch.ones_like(edges.distances))
        scalar = torch.outer(count, self.weights["embedding.edge_bias"])
        return add_to_scalars(x, scalar + self.weights["embedding.elements"].index_select(0, species))

    def radial(self, edges: Edges, block: str) -> Tensor:
        """Radial weights with the envelope, (n_edges, W C)."""
        table = evaluate_table(self.weights[block + ".table"], edges.table, edges.distances, self.cutoff)
        return table * edges.envelope.unsqueeze(-1)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Norm of each degree, (n, d, C)."""
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        blocks = [self.scalar_norm(x[:, :1], weight[0], bias)]
        for degree in range(1, self.l_max + 1):
            block = x[:, degree**2 : (degree + 1) ** 2]
            if self.weights["norm_divides"]:
                mean_square = (block * block).mean(dim=(1, 2), keepdim=True)
                block = block / torch.sqrt(mean_square + self.weights["norm_eps"])
            blocks.append(block * weight[degree])
        return torch.cat(blocks, dim=1)

    def scalar_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Norm of scalars (..., C)."""
        if self.weights["norm_divides"]:
            return F.layer_norm(x, [x.size(-1)], weight, bias, 1e-5)
        return x * weight + bias

    def attention(self, x: Tensor, edges: Edges, block: str) -> Tensor:
        """Normalized features -> weighted sum over the edges of each center before the map ``out``: (n_atoms, d, C)."""
        rows = self.linear(x, block + ".send")  # for neighbors; a parallel run exchanges them here
        at_center = F.linear(x, self.weights[block + ".center.weight"])
        return self.edge_attention(rows, at_center, edges, block)

    def edge_attention(self, rows: Tensor, at_center: Tensor, edges: Edges, block: str) -> Tensor:
        """As ``torch.ops.tdn.edge_attention``: rows of neighbors and centers (n, d, C) -> (n_atoms, d, C)."""
        merged = rows.index_select(0, edges.neighbor) + at_center.index_select(0, edges.center)
        weight = self.radial(edges, block).unflatten(1, (-1, merged.size(2)))  # (n_edges, W, C)
        message = product(edges.by_path, merged, weight)
        values, logits = self.gated(message, block + ".edge")
        shares = self.shares(self.logits(logits, block), edges, block)  # (n_edges, H)
        shares = shares.repeat_interleave(values.size(2) // shares.size(1), dim=1)
        return edges.sum_to_centers(product(edges.by_path, values, weight) * shares.unsqueeze(1))

    def logits(self, logits: Tensor, block: str) -> Tensor:
        """SmoothLeakyReLU, x (0.2 + 0.8 sigmoid(x)), times the query of each head: (n_edges, C) -> (n_edges, H)."""
        query = self.weights[block + ".query"]
        return ((logits * (0.2 + 0.8 * torch.sigmoid(logits))).view(-1, *query.shape) * query).sum(-1)

    def shares(self, logits: Tensor, edges: Edges, block: str) -> Tensor:
        """Attention weights, (n_edges, H): softmax, or scale u sigmoid(l + constant)."""
        scale = self.weights["sigmoid_attention"]
        if scale:
            weights = torch.sigmoid(logits + self.weights[block + ".constant"])
            return scale * edges.envelope.unsqueeze(-1) * weights
        return self.softmax(logits, edges, block)

    def softmax(self, logits: Tensor, edges: Edges, block: str) -> Tensor:
        """u exp(l) / (exp(constant) + sum of u exp(l)) over the edges of a center; no constant in the paper."""
        constant = self.weights[block + ".constant"]
        floor = constant if constant.numel() else logits.new_full([logits.size(1)], -math.inf)
        index = edges.center.unsqueeze(-1).expand_as(logits)
        peak = floor.expand(edges.n_atoms, -1).scatter_reduce(0, index, logits.detach(), "amax")
        numerator = edges.envelope.unsqueeze(-1) * torch.exp(logits - peak.index_select(0, edges.center))
        total = edges.sum_to_centers(numerator)
        total = total + (torch.exp(constant - peak) if constant.numel() else 1e-16)
        return numerator / total.index_select(0, edges.center)

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        """(n, d, C) -> (n, d, C)."""
        return self.linear(self.gated(x, name + ".in")[0], name + ".out")

    def gated(self, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Stacked map of the scalar row, values, gates and what follows; values of the other rows times the gates.

        Returns:
            Values (n, d, C) and the scalar row's results that are neither value nor gate, (n, C) or (n, 0).
        """
        n_channels = x.size(2)
        stacked = F.linear(x[:, 0], self.weights[name + ".weight"], self.weights[name + ".bias"])
        value, gate, rest = stacked.tensor_split([n_channels, 2 * n_channels], dim=1)
        others = F.linear(x[:, 1:], self.weights[name + ".weight"][:n_channels])
        others = others * (self.weights["sigmoid_scale"] * torch.sigmoid(gate)).unsqueeze(1)
        return torch.cat([(self.weights["silu_scale"] * F.silu(value)).unsqueeze(1), others], dim=1), rest

    def linear(self, x: Tensor, name: str) -> Tensor:
        """One matrix for all rows, bias on the scalar row."""
        return add_to_scalars(F.linear(x, self.weights[name + ".weight"]), self.weights[name + ".bias"])

    def readout(self, x: Tensor) -> Tensor:
        """Value of each atom before scale and references, (n,)."""
        norm, hidden, out = "readout.norm", "readout.hidden", "readout.out"
        scalar = self.scalar_norm(x[:, 0], self.weights[norm + ".weight"], self.weights[norm + ".bias"])
        inner = F.silu(F.linear(scalar, self.weights[hidden + ".weight"], self.weights[hidden + ".bias"]))
        return self.weights["silu_scale"] * (inner @ self.weights[out + ".weight"]) + self.weights[out + ".bias"]


def product(matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
    """sum_p weight_pc sum_i K_pki first_ic: (n, W, d, d), (n, d, C), (n, W, C) -> (n, d, C)."""
    return ((matrix @ first.unsqueeze(1)) * weight.unsqueeze(2)).sum(1)


def n_channels(weights: dict[str, Tensor]) -> int:
    """C."""
    return weights["embedding.project.weight"].size(0)


def n_weights(weights: dict[str, Tensor], block: str) -> int:
    """W of a block."""
    return weights[block + ".table"].size(3) // n_channels(weights)


def add_to_scalars(x: Tensor, scalar: Tensor) -> Tensor:
    """Add (n, C) or (C) to the scalar row of (n, d, C)."""
    return torch.cat([x[:, :1] + scalar.view(-1, 1, x.size(2)), x[:, 1:]], dim=1)
