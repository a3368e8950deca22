"""Errors per property: mean absolute error and root mean square error, summed over batches."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tdn.data.graph import Graph, given

#: Unit of each property's errors as they are logged, all in thousandths of eV and angstrom.
UNITS = {"energy": "meV/atom", "force": "meV/angstrom", "stress": "meV/angstrom^3"}


class Predicted(Protocol):
    """What the model answers, as far as errors are concerned."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None


def differences(output: Predicted, graph: Graph) -> dict[str, Tensor]:
    """Prediction minus label for every labeled value, flat: the graph is kept for a loss.

    Returns:
        ``energy``: eV per atom, (labeled graphs,); ``force``: eV/angstrom, (3 x labeled atoms,);
        ``stress``: eV/angstrom^3, (9 x labeled graphs,), missing when the model gave no stress.
    """
    sizes = torch.bincount(graph.batch, minlength=graph.n_graphs)
    energy, forces = given(graph.energy), given(graph.forces)
    errors = {
        "energy": labeled((output.energy - energy) / sizes, energy),
        "force": labeled(output.forces - forces, forces),
    }
    if output.stress is not None and graph.has_stress is not None:
        errors["stress"] = (output.stress - given(graph.stress))[graph.has_stress].flatten()
    return errors


def labeled(errors: Tensor, label: Tensor) -> Tensor:
    """Entries whose label is a number, flat."""
    known = torch.isfinite(label)
    return errors.flatten() if bool(known.all()) else errors[known]


class ErrorSums:
    """Running sums of absolute and squared errors."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.sums: dict[str, list[float]] = {}

    def add(self, errors: dict[str, Tensor]) -> None:
        """Count flat errors of each property."""
        for name, values in errors.items():
            values = values.detach().double()
            total = self.sums.setdefault(name, [0.0, 0.0, 0.0])
            for slot, amount in enumerate((values.numel(), values.abs().sum().item(), values.square().sum().item())):
                total[slot] += amount

    def result(self) -> dict[str, float]:
        """``energy_mae``, ``energy_rmse``, ``force_mae``, ... in the units of ``UNITS``; unlabeled ones are absent."""
        table = {}
        for name, (count, absolute, squared) in self.sums.items():
            if count:
                table[f"{name}_mae"] = 1e3 * absolute / count
                table[f"{name}_rmse"] = 1e3 * (squared / count) ** 0.5
        return table
