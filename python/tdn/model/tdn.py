"""The TDN model as Python users see it: graph in, energies, forces and virial out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.model.attention import Layer
from tdn.model.config import ModelConfig
from tdn.model.network import Network
from tdn.model.prediction import Prediction, predict


class TDN(nn.Module):
    """Tensor Decomposition Network (arXiv 2507.01131), extensive and smooth in the md setting."""

    def __init__(self, config: ModelConfig, fitted: bool = True) -> None:
        super().__init__()
        self.config = config
        self.network = Network(config, fitted)

    @classmethod
    def from_state(cls, config: ModelConfig, state: Mapping[str, Tensor]) -> TDN:
        """Model with stored weights, in their dtype; constants are exact in it."""
        model = cls(config, fitted=False)
        dtype = state["network.head_out.weight"].dtype
        model.to(dtype).load_state_dict(state)
        return model.eval()

    def in_dtype(self, dtype: torch.dtype) -> TDN:
        """Copy in ``dtype``: weights are cast, constants are exact in it."""
        return copy.deepcopy(self).to(dtype).eval()

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; the position is the species index."""
        return self.config.elements

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return self.config.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.network.head_out.weight.dtype

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        return self.config.force_kinds

    @property
    def energy_convention(self) -> str:
        """``extensive`` or ``per_atom``."""
        return self.config.energy_convention

    def set_references(self, energies: Sequence[float], scale: float) -> None:
        """Set the reference energy of every element (eV, in the order of ``elements``) and the energy scale (eV)."""
        if len(energies) != self.config.n_elements:
            raise TDNError(f"{len(energies)} reference energies for {self.config.n_elements} elements; give one each")
        references = self.network.references
        references.energies.copy_(torch.tensor(energies, dtype=torch.float64))
        references.scale.fill_(scale)

    def forward(
        self, graph: Graph, stress: bool = False, training: bool = False, forces: str | None = None
    ) -> Prediction:
        """Evaluate a graph.

        Args:
            graph: one or several structures; vectors in the model's dtype.
            stress: also return the stress of three-dimensionally periodic structures.
            training: keep the graph of the forces so that a loss on them can be differentiated.
            forces: ``gradient``, ``direct``, ``both`` or None for the model's default.
        """
        return predict(self._run, graph, self.force_kinds, self.dtype, stress, training, forces)

    def pair_index(self, graph: Graph) -> Tensor:
        """Ordered pair of elements of each edge, (n_edges,) int64."""
        center = graph.species.index_select(0, graph.center)
        return center * self.config.n_elements + graph.species.index_select(0, graph.neighbor)

    def _run(self, graph: Graph, vectors: Tensor, with_direct: bool) -> tuple[Tensor, Tensor | None]:
        """Run the network on the atoms of the graph and, behind them, one isolated atom of each element (md)."""
        pair = self.pair_index(graph)
        features = self.network.edge_features(vectors, pair)
        x = self.network.embed(self._with_isolated(graph.species), graph.center, pair, features)
        for layer in cast("Iterable[Layer]", self.network.layers):
            x = layer.update(x, layer.send(x), graph.center, graph.neighbor, pair, features)
        direct = self._direct_forces(x, graph, pair, features) if with_direct else None
        return self._atom_energies(x, graph), direct

    def _with_isolated(self, species: Tensor) -> Tensor:
        if not self.config.smooth:
            return species
        return torch.cat([species, torch.arange(self.config.n_elements, device=species.device)])

    def _atom_energies(self, x: Tensor, graph: Graph) -> Tensor:
        values = self.network.head(x)
        n_atoms = graph.species.size(0)
        isolated = values[n_atoms:] if self.config.smooth else self.network.references.isolated
        return self.network.energies(values[:n_atoms], isolated, graph.species, graph.center)

    def _direct_forces(self, x: Tensor, graph: Graph, pair: Tensor, features: list[Tensor]) -> Tensor:
        head = self.network.force_head
        assert head is not None
        forces = head.forces(x, head.send(x), graph.center, graph.neighbor, pair, features)
        return forces[: graph.species.size(0)]
