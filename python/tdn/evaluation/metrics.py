"""Errors of a batch as tensors of fixed shape with weights 0 and 1, and their sums over batches and processes.

Nothing is selected by a mask, so that a whole training step can be traced and compiled: whatever has no label (a
missing energy, the force on a held atom, atoms that only pad a batch) has error 0 and weight 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from tdn.data.graph import Graph, given

#: Unit of each property's logged errors, all in thousandths of eV and angstrom.
UNITS = {
    "energy": "meV/atom",
    "force": "meV/angstrom",
    "direct_force": "meV/angstrom",
    "stress": "meV/angstrom^3",
}
#: Every error that a run logs, with the prefix ``train_`` or ``valid_``: unit and definition.
METRICS = {
    "energy_mae": ("meV/atom", "mean of |dE / n_atoms| over structures; the energy error of the paper"),
    "energy_rmse": ("meV/atom", "root of the mean of (dE / n_atoms)^2 over structures"),
    "force_mae": ("meV/angstrom", "mean of |dF| over all components of all atoms"),
    "force_rmse": ("meV/angstrom", "root of the mean of dF^2 over all components of all atoms, as most papers"),
    "force_structure_rmse": (
        "meV/angstrom",
        "mean over structures of the root of the mean over atoms of |dF|^2, |dF| the length of a vector; the force "
        "RMSE of the paper, about sqrt(3) above force_rmse",
    ),
    "direct_force_mae": ("meV/angstrom", "as force_mae, for the direct head of a model with gradient forces"),
    "direct_force_rmse": ("meV/angstrom", "as force_rmse, for the direct head of a model with gradient forces"),
    "stress_mae": ("meV/angstrom^3", "mean of |d stress| over the nine components"),
    "stress_rmse": ("meV/angstrom^3", "root of the mean of (d stress)^2 over the nine components"),
}


class Difference(NamedTuple):
    """Prediction minus label."""

    error: Tensor  #: 0 without a label
    weight: Tensor  #: 1 with a label, else 0; shape and dtype of ``error``


class Predicted(Protocol):
    """The parts of a prediction that have errors; ``direct_forces`` and ``kind`` if it has two kinds of forces."""

    energy: Tensor
    forces: Any
    stress: Tensor | None


def differences(output: Predicted, graph: Graph, convention: str = "extensive") -> dict[str, Difference]:
    """Prediction minus label of every property; the graph is kept for a loss.

    Args:
        output: the model's prediction for ``graph``.
        graph: a batch with labels; missing labels are NaN.
        convention: of the model's energy: ``extensive``, or ``per_atom`` if it predicts the energy per atom.

    Returns:
        ``energy``: eV per atom, (n_graphs,); ``force``: eV/angstrom, (n_atoms, 3); ``direct_force``: the same of the
        direct head, if gradient forces are the default and both were requested; ``stress``: eV/angstrom^3,
        (n_graphs, 3, 3), when the model gave stress.
    """
    sizes = graph.sizes.clamp(min=1)
    predicted = output.energy if convention == "per_atom" else output.energy / sizes
    forces = given(graph.forces)
    errors = {
        "energy": difference(predicted, given(graph.energy) / sizes),
        "force": difference(output.forces, forces),
    }
    direct = getattr(output, "direct_forces", None)
    if direct is not None and getattr(output, "kind", "direct") == "gradient":
        errors["direct_force"] = difference(direct, forces)
    if output.stress is not None and graph.has_stress is not None:
        known = graph.has_stress.view(-1, 1, 1).expand_as(output.stress)
        errors["stress"] = difference(output.stress, given(graph.stress), known)
    return errors


def difference(predicted: Tensor, label: Tensor, known: Tensor | None = None) -> Difference:
    """Prediction minus label where the label is known (by default, where it is finite), zero elsewhere."""
    known = torch.isfinite(label) if known is None else known
    error = torch.where(known, predicted - torch.where(known, label, 0.0), 0.0)
    return Difference(error, known.to(error.dtype))


def of_structures(force: Difference, graph: Graph) -> Difference:
    """Root of the mean over a structure's labeled atoms of |dF|^2, (n_graphs,): the force error of the paper.

    If the error of a structure is zero, so is its gradient, whereas that of a plain root would not be a number.
    """
    atom = force.weight.amin(1)
    zeros = force.error.new_zeros(graph.n_graphs)
    squares = zeros.index_add(0, graph.batch, atom * force.error.square().sum(1))
    atoms = zeros.index_add(0, graph.batch, atom)
    return Difference(safe_root(squares / atoms.clamp(min=1.0)), (atoms > 0).to(squares.dtype))


def safe_root(squares: Tensor) -> Tensor:
    """Square root with derivative zero at zero."""
    positive = squares > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, squares, 1.0)), 0.0)


class ErrorSums:
    """Running sums of weights, absolute and squared errors of each property, float64, on the device of the errors."""

    def __init__(self, sums: dict[str, Tensor] | None = None) -> None:
        """Start empty, or with the ``sums`` of a resumed run."""
        self.sums = {name: values.clone() for name, values in (sums or {}).items()}

    def add(self, errors: Mapping[str, Difference | Tensor], graph: Graph | None = None) -> None:
        """Count a batch (a plain tensor has weight 1); with its ``graph`` also the force error of each structure."""
        self.add_sums(batch_sums(errors, graph))

    def add_sums(self, sums: dict[str, Tensor]) -> None:
        """Add the result of :func:`batch_sums`."""
        for name, values in sums.items():
            self.sums[name] = self.sums[name] + values if name in self.sums else values

    def result(self) -> dict[str, float]:
        """Errors as named in ``METRICS``, in thousandths; a property without any label is absent."""
        table: dict[str, float] = {}
        for name, values in self.sums.items():
            count, absolute, squared = values.tolist()
            if not count:
                continue
            if name == "force_structure":
                table["force_structure_rmse"] = 1e3 * absolute / count
            else:
                table |= {f"{name}_mae": 1e3 * absolute / count, f"{name}_rmse": 1e3 * (squared / count) ** 0.5}
        return table


def batch_sums(errors: Mapping[str, Difference | Tensor], graph: Graph | None = None) -> dict[str, Tensor]:
    """Sums of weights, absolute and squared errors of each property of a batch, each (3,) float64, without gradient."""
    everything = {
        name: value if isinstance(value, Difference) else Difference(value, torch.ones_like(value))
        for name, value in errors.items()
    }
    if graph is not None and "force" in everything:
        everything["force_structure"] = of_structures(everything["force"], graph)
    return {name: sums_of(value) for name, value in everything.items()}


def sums_of(value: Difference) -> Tensor:
    """Sums of weights, absolute and squared errors, (3,) float64."""
    error, weight = value.error.detach().double(), value.weight.detach().double()
    return torch.stack([weight.sum(), (weight * error.abs()).sum(), (weight * error.square()).sum()])
