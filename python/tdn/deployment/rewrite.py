"""Changes of a network for deployment, which preserve results to rounding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from tdn.deployment.jets import with_jets
from tdn.deployment.network import DeployedNetwork, ExportedAttention
from tdn.model import TDN
from tdn.model.attention import Attention, Layer
from tdn.model.network import Network
from tdn.model.product import EdgeProduct
from tdn.ops import load_library


class FusedEdgeProduct(nn.Module):
    """:class:`tdn.model.product.EdgeProduct` as one compiled operator with its own backward."""

    def forward(self, matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
        """(n_edges, d, d), (n_edges, d, C), (n_edges, C) -> (n_edges, d, C)."""
        return torch.ops.tdn.edge_product(matrix, first, weight)


def fold_isolated(network: Network) -> None:
    """Store the head's value of an isolated atom of each element, which the readout subtracts (md setting)."""
    if not network.smooth:
        return
    species = torch.arange(network.embedding.n_elements)
    none = torch.zeros(0, dtype=torch.int64)
    features = network.edge_features(torch.zeros(0, 3, dtype=network.head_out.weight.dtype), none)
    x = network.embed(species, none, none, features)
    for layer in cast("Iterable[Layer]", network.layers):
        x = layer.update(x, layer.send(x), none, none, none, features)
    network.references.isolated.copy_(network.head(x))


def replacement(module: nn.Module) -> nn.Module | None:
    """The replacement of a module in an archive, None for the module itself."""
    if isinstance(module, EdgeProduct):
        return FusedEdgeProduct()
    return ExportedAttention(module) if isinstance(module, Attention) else with_jets(module)


def deployable(model: TDN, dtype: torch.dtype, n_knots: int = 0) -> DeployedNetwork:
    """The network in ``dtype``, constants folded, products replaced by the compiled operator; ready to script.

    Args:
        model: trained model, left as it is.
        dtype: precision of the archive.
        n_knots: knots of the radial tables that are made from the archive; 0 for none.
    """
    load_library()
    network = DeployedNetwork(model.config, n_knots).to(dtype)
    network.load_state_dict(model.network.state_dict())
    network.eval().requires_grad_(False)
    fold_isolated(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            new = replacement(child)
            if new is not None:
                setattr(module, name, new)
    return network
