"""The loss: for each property a sum over labels divided by their number.

Sum and number are kept separate, so that several processes, each with its share of a batch, divide by the number of
labels in the whole batch: their gradients add up to that of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.evaluation.metrics import Difference, of_structures, safe_root

#: Values (any shape) and weights of one term, from the errors, the batch, and where the Huber loss turns linear.
Pointwise = Callable[[Difference, Graph, float], Difference]


class Term(NamedTuple):
    """One property's part of the loss."""

    total: Tensor  #: () sum over labels
    number: Tensor  #: () number of labels


def squared(error: Difference, graph: Graph, delta: float) -> Difference:
    """``mse``: dx^2 of each component."""
    return Difference(error.error.square(), error.weight)


def absolute(error: Difference, graph: Graph, delta: float) -> Difference:
    """``mae``: |dx| of each component; for energies, the paper's L1 of the energy per atom."""
    return Difference(error.error.abs(), error.weight)


def huber(error: Difference, graph: Graph, delta: float) -> Difference:
    """``huber``: dx^2 / 2 up to ``delta``, then delta (|dx| - delta / 2), of each component."""
    size = error.error.abs()
    return Difference(torch.where(size < delta, 0.5 * size * size, delta * (size - 0.5 * delta)), error.weight)


def structure_rmse(error: Difference, graph: Graph, delta: float) -> Difference:
    """``rmse``: for each structure the root of the mean over atoms of |dF|^2, |dF| the length of a vector (paper)."""
    return of_structures(error, graph)


def length(error: Difference, graph: Graph, delta: float) -> Difference:
    """``norm``: |dF|, the length of the vector, of each atom."""
    return Difference(lengths(error.error), error.weight.amin(1))


def cosine(error: Difference, graph: Graph, delta: float) -> Difference:
    """``cosine``: 1 - cos of the angle between predicted and labeled force, of each atom; ignores the lengths."""
    known = error.weight > 0
    label = torch.where(known, given(graph.forces).to(error.error.dtype), 0.0)
    predicted = error.error + label
    product = (predicted * label).sum(1) / (lengths(predicted) * lengths(label)).clamp(min=1e-12)
    return Difference(1.0 - product, error.weight.amin(1))


def lengths(vectors: Tensor) -> Tensor:
    """Length (n,) of vectors (n, 3), with derivative zero where it vanishes."""
    return safe_root(vectors.square().sum(1))


_OF_COMPONENTS: dict[str, Pointwise] = {"mse": squared, "mae": absolute, "huber": huber}
#: Losses of each property by name; :data:`OPTIONS` names the option of the training section that selects one.
LOSSES: dict[str, dict[str, Pointwise]] = {
    "energy": _OF_COMPONENTS,
    "force": {**_OF_COMPONENTS, "rmse": structure_rmse, "norm": length, "cosine": cosine},
    "stress": _OF_COMPONENTS,
}
#: For each property of the errors: its losses, and the options for the loss and its weight.
OPTIONS = {
    "energy": ("energy", "energy_loss", "energy_weight"),
    "force": ("force", "force_loss", "force_weight"),
    "direct_force": ("force", "force_loss", "force_weight"),
    "stress": ("stress", "stress_loss", "stress_weight"),
}


def loss_terms(errors: dict[str, Difference], graph: Graph, options: Any) -> dict[str, Term]:
    """Sum and number of every property's values.

    Args:
        errors: from ``metrics.differences``, in eV and angstrom.
        graph: the batch.
        options: has ``energy_loss``, ``force_loss``, ``stress_loss`` and ``huber_delta``.

    Stress enters as virial per atom (stress x volume / n_atoms, eV), so that all terms are energies or forces.
    """
    terms = {}
    for name, error in errors.items():
        losses, option, _ = OPTIONS[name]
        if name == "stress":
            error = virial_per_atom(error, graph)
        values, weight = LOSSES[losses][getattr(options, option)](error, graph, options.huber_delta)
        terms[name] = Term((weight * values).sum(), weight.sum().detach())
    return terms


def virial_per_atom(stress: Difference, graph: Graph) -> Difference:
    """Errors of the stress (n_graphs, 3, 3), eV/angstrom^3, as errors of stress x volume / n_atoms, eV."""
    factor = given(graph.volume) / graph.sizes.clamp(min=1)
    return Difference(stress.error * factor.to(stress.error.dtype).view(-1, 1, 1), stress.weight)


def weights_of(options: Any) -> dict[str, float]:
    """Weight of each property's mean in the loss."""
    return {name: float(getattr(options, option)) for name, (_, _, option) in OPTIONS.items()}
