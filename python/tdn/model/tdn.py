"""The TDN model for Python users: graph in, energies, forces and virial out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor

from tdn.config.model import ModelConfig
from tdn.data.graph import Graph
from tdn.model.attention import Layer
from tdn.model.network import Network, safe_length
from tdn.model.potential import Potential, with_isolated
from tdn.model.prediction import Prediction, predict


class TDN(Potential):
    """Tensor Decomposition Network (arXiv 2507.01131), extensive and smooth in the md setting."""

    config: ModelConfig
    network: Network

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

    def pair_index(self, graph: Graph) -> Tensor:
        """Ordered pair of elements of each edge, (n_edges,) int64."""
        center = graph.species.index_select(0, graph.center)
        return center * self.config.n_elements + graph.species.index_select(0, graph.neighbor)

    def _run(self, graph: Graph, vectors: Tensor, with_direct: bool) -> tuple[Tensor, Tensor | None]:
        """Run the network on the atoms of the graph, followed by one isolated atom of each element (md)."""
        pair = self.pair_index(graph)
        features = self.network.edge_features(vectors, pair)
        species = with_isolated(graph.species, self.config.n_elements) if self.config.smooth else graph.species
        x = self.network.embed(species, graph.center, pair, features)
        for layer in cast("Iterable[Layer]", self.network.layers):
            x = layer.update(x, layer.send(x), graph.center, graph.neighbor, pair, features)
        direct = self._direct_forces(x, graph, pair, features) if with_direct else None
        energies = self._atom_energies(x, graph)
        if self.network.pair_term is not None:
            energies = energies + self._pair_energies(graph, vectors, pair)
        return energies, direct

    def _pair_energies(self, graph: Graph, vectors: Tensor, pair: Tensor) -> Tensor:
        """The pair term of each atom, (n_atoms,) eV, float64."""
        term = self.network.pair_term
        assert term is not None
        energies = term.pair_energy(safe_length(vectors.to(torch.float64)), pair)
        return energies.new_zeros(graph.species.size(0)).index_add(0, graph.center, energies)

    def pair_part(self, graph: Graph) -> Prediction | None:
        """Energies and forces of the pair term, which the energy scale does not multiply."""
        if self.network.pair_term is None:
            return None
        pair = self.pair_index(graph)
        return predict(lambda g, r, _: (self._pair_energies(g, r, pair), None), graph, ("gradient",), self.dtype)

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
