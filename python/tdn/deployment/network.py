"""The network of an archive: the model's segments, and its weights as a fused engine reads them.

``fused_weights`` rewrites the weights: it folds constants, stacks linear maps that read the same row, and tabulates
radial networks for the pairs of elements that a run uses. ``tdn.deployment.fused`` shows in plain PyTorch how they are
used. An archive has the same weights, except for radial networks instead of their tables
(``tdn.deployment.weights``); its reader makes the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tdn.algebra.clebsch_gordan import paths_by_product
from tdn.config.model import ModelConfig
from tdn.deployment.jets import pair_term_jets
from tdn.deployment.tables import hermite_table
from tdn.model.attention import Attention
from tdn.model.layers import SIGMOID_SCALE
from tdn.model.network import Network

#: Knots of a pair term's table, from zero to its reach: the shortest screening length of the heaviest nuclei is three
#: intervals long, that of nuclei in molecules ten.
PAIR_TERM_KNOTS = 513


class ExportedAttention(nn.Module):
    """:class:`Attention` that exports its weights; its radial network has jets."""

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class that are text
        attention: Any  # an Attention whose radial network was replaced

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """As in the model."""
        return self.attention.send(x)

    @torch.jit.export
    def receive(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """As in the model."""
        return self.attention.receive(x, rows, center, neighbor, pair, features)

    def jets(self, basis: Tensor, pairs: Tensor) -> Tensor:
        """Jets of the radial weights, see :class:`tdn.deployment.jets.RadialJets`."""
        return self.attention.radial.jets(basis, pairs)

    def numbers(self) -> dict[str, float]:
        """Constants of the kind of attention."""
        return self.attention.softmax.numbers()

    def weights(self) -> dict[str, Tensor]:
        """All weights except the tables; the maps of a message are stacked: values, gates, logits."""
        block = self.attention
        constant = block.softmax.constant
        return {
            "send.weight": block.merge_neighbor.weight,
            "send.bias": block.merge_neighbor.bias,
            "center.weight": block.merge_center.weight,
            "edge.weight": torch.cat([block.values.weight, block.gates.weight, block.logits.weight]),
            "edge.bias": torch.cat([block.values_bias, block.gates.bias, block.logits.bias]),
            "query": block.query,
            "constant": block.query.flatten()[:0] if constant is None else constant,
            "out.weight": block.out.weight,
            "out.bias": block.out.bias,
        }


def component_of_row(config: ModelConfig) -> Tensor:
    """Component of the product in each row of an edge matrix, int64: all once, or those of each path."""
    if config.path_weights == "shared":
        return torch.arange(config.n_components)
    products = [l3 for _, _, l3 in paths_by_product(config.l_max, config.paths)]
    return torch.cat([torch.arange(degree**2, (degree + 1) ** 2) for degree in products])


class DeployedNetwork(Network):
    """The segments of a model with ``fused_weights``; ``n_knots`` is 0 if the archive is not tabulated."""

    if TYPE_CHECKING:  # modules of the model, in which deploy replaced some (see tdn.deployment.rewrite)
        geometry: Any
        embedding: Any
        layers: Any
        force_head: Any
        component_of_row: Tensor

    def __init__(self, config: ModelConfig, n_knots: int = 0) -> None:
        super().__init__(config, fitted=False)
        self.n_knots = n_knots
        self.n_components = config.n_components
        self.sigmoid_scale = SIGMOID_SCALE if config.smooth else 1.0
        self.register_buffer("component_of_row", component_of_row(config), persistent=False)

    def radial_jets(self, distances: Tensor, pairs: Tensor) -> dict[str, Tensor]:
        """Jets of all radial weights without the envelope, by the name of their table.

        Args:
            distances: (n,) angstrom, positive.
            pairs: (n_tables,) int64, center * n_elements + neighbor.

        Returns:
            (3, n_tables, n, W C) each, W weights per channel; (3, 1, n, W C) for networks that ignore the
            elements (paper).
        """
        basis = self.geometry.basis.jets(distances)
        source: Tensor = self.embedding.sources  # (n_elements, C), or (1, C) in the paper's setting
        if self.smooth:
            source = source.index_select(0, torch.remainder(pairs, self.embedding.n_elements))
        source = source.repeat(1, self.embedding.n_path_weights).unsqueeze(1)
        jets = {"embedding.table": self.embedding.radial.jets(basis, pairs) * source}
        for k, layer in enumerate(self.layers):
            jets[f"layers.{k}.table"] = layer.attention.jets(basis, pairs)
        if self.force_head is not None:
            jets["force_head.table"] = self.force_head.attention.jets(basis, pairs)
        return jets

    def fused_weights(self, pairs: Tensor) -> dict[str, Tensor]:
        """Weights of the fused engine, float64; named as :mod:`tdn.deployment.fused` reads them.

        Called on a copy of the network in float64, so that tables add no rounding.

        Args:
            pairs: (n_tables,) int64, the ordered pairs of elements (center * n_elements + neighbor) that get a table.
        """
        weights = self.node_weights()
        weights.update(self.block_weights())
        cutoff = self.geometry.cutoff
        spacing = cutoff / (self.n_knots - 1)
        knots = torch.arange(1, self.n_knots, dtype=torch.float64, device=pairs.device) * spacing
        for name, jets in self.radial_jets(knots, pairs).items():
            weights[name] = hermite_table(jets, spacing)
        weights.update(self.pair_term_tables(pairs))
        weights.update(self.numbers())
        return {name: weight.detach().to(torch.float64).contiguous() for name, weight in weights.items()}

    def pair_term_tables(self, pairs: Tensor) -> dict[str, Tensor]:
        """The reach of each pair's term, and r times its energy at knots from zero to the reach."""
        if (term := self.pair_term) is None:
            return {}
        reach = term.reach.index_select(0, pairs)
        shares = torch.arange(1, PAIR_TERM_KNOTS, dtype=torch.float64, device=pairs.device) / (PAIR_TERM_KNOTS - 1)
        spacing = (reach / (PAIR_TERM_KNOTS - 1)).view(-1, 1, 1)
        distances = torch.outer(reach, shares)
        jets = pair_term_jets(term, distances.flatten(), pairs.repeat_interleave(PAIR_TERM_KNOTS - 1))
        return {
            "pair_term.table": hermite_table(jets.view(3, *distances.shape, 1), spacing),
            "pair_term.reach": reach,
        }

    def numbers(self) -> dict[str, Tensor]:
        """Constants of the model, float64."""
        numbers = {
            "cutoff": self.geometry.cutoff,
            "envelope_power": self.geometry.power if self.smooth else 0.0,
            "norm_eps": self.norm.eps,
            "norm_divides": float(self.norm.divides),
            **self.layers[0].attention.numbers(),
            "silu_scale": self.silu_scale,
            "sigmoid_scale": self.sigmoid_scale,
            "n_layers": len(self.layers),
        }
        return {name: torch.tensor(float(number), dtype=torch.float64) for name, number in numbers.items()}

    def node_weights(self) -> dict[str, Tensor]:
        """Embedding and readout, without tables and numbers."""
        like = self.head_hidden.weight
        harmonics = torch.eye(self.n_components, dtype=like.dtype, device=like.device)
        matrices = self.geometry.coupling(harmonics)  # K of each single harmonic, with separate weights by paths
        whole = torch.zeros_like(matrices[:, : self.n_components]).index_add(1, self.component_of_row, matrices)
        bias = self.embedding.project.bias
        return {
            "coupling": whole.permute(1, 2, 0),
            "embedding.elements": self.embedding.elements,
            "embedding.edge_bias": torch.zeros_like(like[0]) if bias is None else bias * self.embedding.scale,
            "embedding.project.weight": self.embedding.project.weight * self.embedding.scale,
            "readout.norm.weight": self.norm.weight[0],
            "readout.norm.bias": self.norm.bias,
            "readout.hidden.weight": self.head_hidden.weight,
            "readout.hidden.bias": self.head_hidden.bias,
            "readout.out.weight": self.head_out.weight[0],
            "readout.out.bias": self.head_out.bias[0],
            "references.energies": self.references.energies,
            "references.scale": self.references.scale,
        }

    def block_weights(self) -> dict[str, Tensor]:
        """Layers and the head of direct forces, without tables."""
        weights: dict[str, Tensor] = {}
        for k, layer in enumerate(self.layers):
            prefix = f"layers.{k}."
            for name, weight in layer.attention.weights().items():
                weights[prefix + name] = weight
            weights[prefix + "norm.weight"] = layer.attention_norm.weight
            weights[prefix + "norm.bias"] = layer.attention_norm.bias
            block = layer.feed_forward
            prefix += "feed_forward."
            weights[prefix + "norm.weight"] = layer.feed_forward_norm.weight
            weights[prefix + "norm.bias"] = layer.feed_forward_norm.bias
            weights[prefix + "in.weight"] = torch.cat([block.values.weight, block.gates.weight])
            weights[prefix + "in.bias"] = torch.cat([block.values.bias, block.gates.bias])
            weights[prefix + "out.weight"] = block.out.weight
            weights[prefix + "out.bias"] = block.out.bias
        if self.force_head is not None:
            head = self.force_head.attention.weights()
            # only the l = 1 rows are read, and they have no bias, so two linear maps combine to one vector
            head.pop("out.bias")
            weights["force_head.project"] = (self.force_head.project.weight @ head.pop("out.weight"))[0]
            weights["force_head.norm.weight"] = self.force_head.norm.weight
            weights["force_head.norm.bias"] = self.force_head.norm.bias
            for name, weight in head.items():
                weights["force_head." + name] = weight
        return weights
