"""Errors of forces by element and by magnitude, and of every structure, as sums over batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tdn.data.graph import Graph, given

#: Bounds of the ranges of the labels' |F|, eV/angstrom: half decades, each including its lower bound.
FORCE_BOUNDS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
RANGES = tuple(
    f"{low:g} to {high:g}" if high else f"above {low:g}"
    for low, high in zip(FORCE_BOUNDS, (*FORCE_BOUNDS[1:], None), strict=True)
)


class GroupedErrors:
    """Errors of force components of atoms in groups."""

    def __init__(self, n_groups: int) -> None:
        """Start empty; groups with numbers from ``n_groups`` on are added when they occur."""
        # atoms, sum of |dF_k|, of |dF|^2, of |F|^2 over components
        self.sums = torch.zeros(n_groups, 4, dtype=torch.float64)

    def add(self, group: Tensor, errors: Tensor, labels: Tensor) -> None:
        """Count atoms.

        Args:
            group: (n,) int64, of each atom.
            errors: (n, 3) eV/angstrom, prediction minus label.
            labels: (n, 3) eV/angstrom.
        """
        columns = [torch.ones(len(errors)), errors.abs().sum(1), errors.square().sum(1), labels.square().sum(1)]
        missing = int(group.max()) + 1 - len(self.sums) if len(group) else 0
        if missing > 0:
            self.sums = torch.cat([self.sums, self.sums.new_zeros(missing, 4)])
        self.sums.index_add_(0, group.cpu(), torch.stack([c.double().cpu() for c in columns], dim=1))

    def rows(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Errors of every group with atoms: ``group``, ``atoms``, and in meV/angstrom ``mae``, ``rmse``, ``label_rms``.

        All three are per component; ``label_rms`` is the root mean square of the labels, for comparison with errors.
        """
        return [
            {
                "group": names[index] if index < len(names) else str(index),
                "atoms": int(atoms),
                "mae": 1e3 * absolute / (3 * atoms),
                "rmse": 1e3 * (squared / (3 * atoms)) ** 0.5,
                "label_rms": 1e3 * (of_labels / (3 * atoms)) ** 0.5,
            }
            for index, (atoms, absolute, squared, of_labels) in enumerate(self.sums.tolist())
            if atoms
        ]


def force_range(labels: Tensor) -> Tensor:
    """Index into ``RANGES`` of each atom, (n,), from the length of its labeled force (n, 3) in eV/angstrom."""
    return torch.bucketize(labels.norm(dim=1), labels.new_tensor(FORCE_BOUNDS[1:]), right=True)


@dataclass(frozen=True)
class StructureErrors:
    """Errors of one structure; NaN without a label. Energies in eV and meV, forces in meV/angstrom."""

    index: int  #: from 0
    n_atoms: int
    energy: float  #: eV, label
    predicted_energy: float  #: eV
    energy_error: float  #: meV, prediction minus label
    energy_error_per_atom: float  #: meV/atom
    force_mae: float  #: mean of |dF_k| over components
    force_rmse: float  #: root mean square over components
    force_vector_rmse: float  #: root mean square of |dF| over atoms, sqrt(3) times ``force_rmse``
    force_max: float  #: largest |dF| of an atom
    stress_rmse: float  #: meV/angstrom^3, root mean square over the nine components


def structure_errors(first: int, graph: Graph, output: Any) -> list[StructureErrors]:
    """Errors of every structure of a joined graph with labels.

    Args:
        first: index of the first structure.
        graph: labels in float64.
        output: prediction with total energies.
    """
    sizes, energy = graph.sizes, given(graph.energy)
    energy_error = 1e3 * (output.energy.double() - energy)
    columns = [
        sizes,
        energy,
        output.energy.double(),
        energy_error,
        energy_error / sizes,
        *(1e3 * values for values in force_columns(graph, output.forces)),
        1e3 * stress_column(graph, output.stress),
    ]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [StructureErrors(first + k, *row) for k, row in enumerate(rows)]


def force_columns(graph: Graph, forces: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean |dF_k|, RMSE per component, RMSE of |dF|, largest |dF| over the labeled atoms, each (n_graphs,)."""
    known = given(graph.forces).isfinite().all(dim=1)
    error = (forces.double() - given(graph.forces))[known]
    batch = graph.batch[known]
    zeros = error.new_zeros(graph.n_graphs)
    count = zeros.index_add(0, batch, error.new_ones(len(error)))  # 0 / 0 gives NaN where nothing is labeled
    mean_square = zeros.index_add(0, batch, error.square().sum(1)) / count
    mean_absolute = zeros.index_add(0, batch, error.abs().sum(1)) / (3 * count)
    largest = zeros.scatter_reduce(0, batch, error.norm(dim=1), "amax")
    return mean_absolute, (mean_square / 3).sqrt(), mean_square.sqrt(), largest.where(count > 0, torch.nan)


def stress_column(graph: Graph, stress: Tensor | None) -> Tensor:
    """RMSE of the stress of each structure, eV/angstrom^3, (n_graphs,), NaN without a label."""
    if stress is None or graph.stress is None or graph.has_stress is None:
        return torch.full((graph.n_graphs,), torch.nan, dtype=torch.float64)
    rmse = (stress.double() - graph.stress).square().mean(dim=(1, 2)).sqrt()
    return rmse.where(graph.has_stress, torch.nan)
