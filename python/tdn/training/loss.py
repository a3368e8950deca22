"""The quantity that training makes small."""

from __future__ import annotations

import torch
from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.training.config import TrainingConfig


def loss_of(errors: dict[str, Tensor], graph: Graph, weights: TrainingConfig) -> Tensor:
    """Weighted sum of mean squares; stress enters as virial per atom, so that all terms are energies or forces.

    ``w_e mean (dE/n_atoms)^2 + w_f mean dF^2 + w_s mean (d stress x volume/n_atoms)^2``

    Args:
        errors: from ``metrics.differences``, in eV and angstrom.
        graph: the batch; volumes and numbers of atoms turn stress into virial per atom.
        weights: ``energy_weight``, ``force_weight``, ``stress_weight``.
    """
    terms = []
    if errors["energy"].numel():
        terms.append(weights.energy_weight * errors["energy"].square().mean())
    if errors["force"].numel():
        terms.append(weights.force_weight * errors["force"].square().mean())
    if "stress" in errors and errors["stress"].numel():
        sizes = torch.bincount(graph.batch, minlength=graph.n_graphs)
        volume_per_atom = (given(graph.volume) / sizes)[given(graph.has_stress)].repeat_interleave(9)
        terms.append(weights.stress_weight * (errors["stress"] * volume_per_atom).square().mean())
    return torch.stack(terms).sum()
