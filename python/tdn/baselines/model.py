"""A baseline with the interface of every model of this package."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tdn.baselines.painn import PaiNN
from tdn.baselines.schnet import SchNet
from tdn.config.baselines import BaselineConfig
from tdn.data.graph import Graph
from tdn.model.network import References
from tdn.model.potential import Potential, with_isolated

#: Network of each architecture: species, center, neighbor, vectors -> values (n_atoms,).
NETWORKS = {"schnet": SchNet, "painn": PaiNN}


class Baseline(Potential):
    """SchNet or PaiNN, trained on the same targets as TDN's md setting.

    The energy of an atom is ``E_ref + scale * (value - value of the isolated atom)``, the energy of a structure their
    sum, and forces are minus the gradient of that sum. The code published with the TDN paper trains its SchNet and
    PaiNN differently: the label is the energy divided by the number of atoms, while forces are minus the gradient of
    the predicted energy per atom, so that no model can fit both.
    """

    config: BaselineConfig

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config
        self.network = NETWORKS[config.architecture](config)
        self.network.references = References(config.n_elements, 1.0)

    @classmethod
    def from_state(cls, config: BaselineConfig, state: Mapping[str, Tensor]) -> Baseline:
        """Model with stored weights, in their dtype."""
        model = cls(config)
        name = next(name for name, _ in model.named_parameters())
        model.to(state[name].dtype).load_state_dict(state)
        return model.eval()

    def _run(self, graph: Graph, vectors: Tensor, with_direct: bool) -> tuple[Tensor, Tensor | None]:
        """Run the network on the atoms of the graph, followed by one isolated atom of each element."""
        species = with_isolated(graph.species, self.config.n_elements)
        values = self.network(species, graph.center, graph.neighbor, vectors)
        n_atoms = graph.species.size(0)
        return self.references(values[:n_atoms], values[n_atoms:], graph.species), None
