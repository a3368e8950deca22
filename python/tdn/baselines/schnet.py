"""SchNet (arXiv 1706.08566) of torch_geometric, on given edges, so that periodic images are edges like others."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from tdn.config.baselines import SchNetConfig
from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError
from tdn.files import first_line
from tdn.model.network import safe_length


def torch_geometric_schnet() -> Any:
    """The class of torch_geometric, which is an optional dependency."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)  # it scripts some of its classes
            from torch_geometric.nn.models import SchNet as Published
    except ImportError as problem:
        raise TDNError(
            f"model.architecture is 'schnet', which needs torch_geometric, but it cannot be imported "
            f"({first_line(problem)}); install it with 'pip install torch_geometric'"
        ) from None
    return Published


class SchNet(nn.Module):
    """Evaluates torch_geometric's blocks in the order of its own ``forward``, up to the sum over atoms."""

    blocks: Any  #: torch_geometric's model, which has no type hints
    numbers: Tensor  #: (n_elements,) atomic numbers

    def __init__(self, config: SchNetConfig) -> None:
        super().__init__()
        self.cutoff = config.cutoff
        self.blocks = torch_geometric_schnet()(
            hidden_channels=config.n_channels,
            num_filters=config.n_filters,
            num_interactions=config.n_layers,
            num_gaussians=config.n_radial,
            cutoff=config.cutoff,
        )
        # torch_geometric rounds it to the current default dtype; a stored model must not depend on that
        self.blocks.distance_expansion.coeff = -0.5 / (config.cutoff / (config.n_radial - 1)) ** 2
        numbers = torch.tensor([ATOMIC_NUMBERS[element] for element in config.elements])
        self.register_buffer("numbers", numbers, persistent=False)

    def forward(self, species: Tensor, center: Tensor, neighbor: Tensor, vectors: Tensor) -> Tensor:
        """Species (n,), edges (n_edges,) and their vectors (n_edges, 3) angstrom -> values (n,)."""
        blocks = self.blocks
        distances = safe_length(vectors).clamp(max=self.cutoff)  # its cosine cutoff rises again beyond the cutoff
        edges = torch.stack([neighbor, center])
        gaussians = blocks.distance_expansion(distances)
        x = blocks.embedding(self.numbers.index_select(0, species))
        for interaction in blocks.interactions:
            x = x + interaction(x, edges, distances, gaussians)
        return blocks.lin2(blocks.act(blocks.lin1(x))).squeeze(-1)
