"""The TDN model as Python users see it: graph in, energies, forces and virial out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.model.attention import Layer
from tdn.model.config import ModelConfig
from tdn.model.network import Network


@dataclass(frozen=True)
class Prediction:
    """What a model says of a graph; energies in float64, the rest in the model's dtype."""

    energy: Tensor  #: (n_graphs,) eV (imported paper models: their raw per-atom energy)
    atom_energies: Tensor  #: (n_atoms,) eV
    gradient_forces: Tensor | None = None  #: (n_atoms, 3) eV/angstrom, minus the gradient of the energy
    direct_forces: Tensor | None = None  #: (n_atoms, 3) eV/angstrom, of the direct head
    virial: Tensor | None = None  #: (n_graphs, 3, 3) eV, W = -sum r_ij (x) dE/dr_ij, symmetrized
    stress: Tensor | None = None  #: (n_graphs, 3, 3) eV/angstrom^3, -W / V (ASE's sign)
    kind: str = "gradient"  #: which forces :attr:`forces` returns

    @property
    def forces(self) -> Tensor | None:
        """Forces of the kind that was asked for, (n_atoms, 3)."""
        return self.direct_forces if self.kind == "direct" else self.gradient_forces


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
        kind = forces or self.config.forces
        if kind in ("direct", "both") and self.network.force_head is None:
            raise TDNError("this model has no head for direct forces; use forces='gradient'")
        with torch.enable_grad():
            vectors = graph.vectors.detach().requires_grad_(kind != "direct" or stress)
            x, features, pair = self._features(graph, vectors)
            energies = self._atom_energies(x, graph)
            energy = energies.new_zeros(graph.n_graphs).index_add(0, graph.batch, energies)
            direct = self._direct_forces(x, graph, pair, features) if kind in ("direct", "both") else None
            if not vectors.requires_grad:
                result = Prediction(energy, energies, direct_forces=direct, kind="direct")
                return result if training else detach(result)
            gradient = edge_gradient(energy, vectors, training)
        total, virial = forces_and_virial(graph, vectors, gradient)
        result = Prediction(
            energy,
            energies,
            total,
            direct,
            virial,
            stress_from_virial(virial, graph.volume) if stress else None,
            kind="direct" if kind == "direct" else "gradient",
        )
        return result if training else detach(result)

    def pair_index(self, graph: Graph) -> Tensor:
        """Ordered pair of elements of each edge, (n_edges,) int64."""
        center = graph.species.index_select(0, graph.center)
        return center * self.config.n_elements + graph.species.index_select(0, graph.neighbor)

    def _features(self, graph: Graph, vectors: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Run embedding and layers on the atoms of the graph and, behind them, one isolated atom of each element."""
        pair = self.pair_index(graph)
        features = self.network.edge_features(vectors, pair)
        x = self.network.embed(self._with_isolated(graph.species), graph.center, pair, features)
        for layer in cast("Iterable[Layer]", self.network.layers):
            x = layer.update(x, layer.send(x), graph.center, graph.neighbor, pair, features)
        return x, features, pair

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


def edge_gradient(energy: Tensor, vectors: Tensor, training: bool) -> Tensor:
    """dE/dr_ij, (n_edges, 3), zero where the energy does not depend on the edges."""
    if vectors.size(0) == 0:
        return torch.zeros_like(vectors)
    return torch.autograd.grad(energy.sum(), vectors, create_graph=training)[0]


def forces_and_virial(graph: Graph, vectors: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """F_i = sum over edges of i as center of dE/dr_ij minus those where it is the neighbor; W = -sum r (x) dE/dr."""
    forces = torch.zeros(graph.species.size(0), 3, dtype=gradient.dtype, device=gradient.device)
    forces = forces.index_add(0, graph.center, gradient).index_add(0, graph.neighbor, gradient, alpha=-1)
    outer = vectors.detach().unsqueeze(-1) * gradient.unsqueeze(-2)
    virial = torch.zeros(graph.n_graphs, 3, 3, dtype=gradient.dtype, device=gradient.device)
    virial = virial.index_add(0, graph.batch.index_select(0, graph.center), outer, alpha=-1)
    return forces, 0.5 * (virial + virial.transpose(1, 2))


def stress_from_virial(virial: Tensor, volume: Tensor | None) -> Tensor:
    """-W / V, (n_graphs, 3, 3) eV/angstrom^3; zero where the volume is zero (no three-dimensional cell)."""
    if volume is None:
        raise TDNError("stress needs a periodic cell in three directions; this graph has no volume")
    volume = volume.to(virial).reshape(-1, 1, 1)
    return torch.where(volume > 0, -virial / torch.where(volume > 0, volume, 1.0), 0.0)


def detach(prediction: Prediction) -> Prediction:
    """The same numbers without their graph."""
    values: dict[str, Any] = {k: v.detach() if isinstance(v, Tensor) else v for k, v in vars(prediction).items()}
    return Prediction(**values)
