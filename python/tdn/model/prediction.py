"""Predictions, and how they follow from the energy: shared by trained and deployed models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tdn.conventions import check_kind
from tdn.data.graph import Graph
from tdn.errors import TDNError


@dataclass(frozen=True)
class Prediction:
    """A model's results for a graph; energies in float64, the rest in the model's dtype."""

    energy: Tensor  #: (n_graphs,) eV (imported paper models: their raw per-atom energy)
    atom_energies: Tensor  #: (n_atoms,) eV
    gradient_forces: Tensor | None = None  #: (n_atoms, 3) eV/angstrom, minus the gradient of the energy
    direct_forces: Tensor | None = None  #: (n_atoms, 3) eV/angstrom, of the direct head
    virial: Tensor | None = None  #: (n_graphs, 3, 3) eV, W = -sum r_ij (x) dE/dr_ij, symmetrized
    stress: Tensor | None = None  #: (n_graphs, 3, 3) eV/angstrom^3, -W / V (ASE's sign)
    kind: str = "gradient"  #: which forces :attr:`forces` returns

    @property
    def forces(self) -> Tensor | None:
        """Forces of the requested kind, (n_atoms, 3)."""
        return self.direct_forces if self.kind == "direct" else self.gradient_forces


#: Runs a network: graph, edge vectors (n_edges, 3), whether to compute direct forces -> atom energies, direct forces.
Run = Callable[[Graph, Tensor, bool], tuple[Tensor, Tensor | None]]


def predict(
    run: Run,
    graph: Graph,
    kinds: Sequence[str],
    dtype: torch.dtype,
    stress: bool = False,
    training: bool = False,
    forces: str | None = None,
) -> Prediction:
    """Evaluate a graph and differentiate the energy by the edge vectors.

    Args:
        run: the network.
        graph: one or several structures; vectors in ``dtype``.
        kinds: kinds of forces that the model has, the default first.
        dtype: the model's precision.
        stress: also return the stress of three-dimensionally periodic structures.
        training: keep the graph of the forces so that a loss on them can be differentiated.
        forces: one of ``tdn.conventions.REQUESTS``, or None for the model's default.
    """
    kind = forces or kinds[0]
    check_request(kind, kinds, graph, dtype)
    with torch.enable_grad():
        vectors = graph.vectors.detach().requires_grad_(kind != "direct" or stress)
        energies, direct = run(graph, vectors, kind in ("direct", "both"))
        energy = energies.new_zeros(graph.n_graphs).index_add(0, graph.batch, energies)
        if not vectors.requires_grad:
            result = predict_from_gradient(graph, energies, None, direct, kind, stress)
            return result if training else detach(result)
        gradient = edge_gradient(energy, vectors, training)
    result = predict_from_gradient(graph, energies, gradient, direct, kind, stress)
    return result if training else detach(result)


def predict_from_gradient(
    graph: Graph, energies: Tensor, gradient: Tensor | None, direct: Tensor | None, kind: str, stress: bool
) -> Prediction:
    """Everything that follows from atom energies (n_atoms,), dE/dr_ij (n_edges, 3) and direct forces (n_atoms, 3)."""
    energy = energies.new_zeros(graph.n_graphs).index_add(0, graph.batch, energies)
    shown = "direct" if kind == "direct" else "gradient"
    if gradient is None:
        return Prediction(energy, energies, direct_forces=direct, kind=shown)
    total, virial = forces_and_virial(graph, graph.vectors, gradient)
    tension = stress_from_virial(virial, graph.volume) if stress else None
    return Prediction(energy, energies, total, direct, virial, tension, kind=shown)


def check_request(kind: str, kinds: Sequence[str], graph: Graph, dtype: torch.dtype) -> None:
    """Refuse a kind of forces that the model does not have, and a graph in another precision."""
    check_kind(kind, kinds)
    if graph.vectors.dtype != dtype:
        raise TDNError(f"the graph is {graph.vectors.dtype} and the model {dtype}; use graph.to(dtype=model.dtype)")


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
        raise TDNError("stress needs the volume of the cell but the graph has none; build it with graph_from_atoms")
    volume = volume.to(virial).reshape(-1, 1, 1)
    return torch.where(volume > 0, -virial / torch.where(volume > 0, volume, 1.0), 0.0)


def detach(prediction: Prediction) -> Prediction:
    """The same numbers without autograd's graph."""
    values: dict[str, Any] = {k: v.detach() if isinstance(v, Tensor) else v for k, v in vars(prediction).items()}
    return Prediction(**values)
