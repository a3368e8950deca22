"""What deploy changes in a network; results stay the same to rounding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from tdn.model import TDN
from tdn.model.attention import Layer
from tdn.model.network import Network
from tdn.model.product import EdgeProduct
from tdn.ops import load_library


class FusedEdgeProduct(nn.Module):
    """:class:`tdn.model.product.EdgeProduct` as one compiled operator with its own backward."""

    def forward(self, matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
        """(n_edges, d, d), (n_edges, d, C), (n_edges, C) -> (n_edges, d, C)."""
        return torch.ops.tdn.edge_product(matrix, first, weight)


def fold_isolated(model: TDN) -> None:
    """Store the head's value of an isolated atom of each element, which the readout subtracts (md setting)."""
    if not model.config.smooth:
        return
    network = model.network
    species = torch.arange(model.config.n_elements)
    none = torch.zeros(0, dtype=torch.int64)
    features = network.edge_features(torch.zeros(0, 3, dtype=model.dtype), none)
    x = network.embed(species, none, none, features)
    for layer in cast("Iterable[Layer]", network.layers):
        x = layer.update(x, layer.send(x), none, none, none, features)
    network.references.isolated.copy_(network.head(x))


def deployable(model: TDN, dtype: torch.dtype) -> Network:
    """The network in ``dtype``, constants folded, products replaced by the compiled operator; ready to script."""
    load_library()
    model = model.in_dtype(dtype).requires_grad_(False)
    fold_isolated(model)
    network = model.network
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, EdgeProduct):
                setattr(module, name, FusedEdgeProduct())
    return network
