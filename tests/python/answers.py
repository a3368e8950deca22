"""Predictions and labels written down by hand, for errors and losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tdn.data import Graph

NAN = float("nan")


@dataclass
class Output:
    """A prediction written down."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None = None
    direct_forces: Tensor | None = None
    kind: str = "gradient"


def two_structures(energy=(0.0, 0.0), stress_labels=(True, False)) -> Graph:
    """One atom and three atoms, with forces on the last three only; volumes 10 and 60."""
    forces = torch.zeros(4, 3, dtype=torch.float64)
    forces[0] = NAN
    return Graph(
        species=torch.zeros(4, dtype=torch.int64),
        center=torch.zeros(0, dtype=torch.int64),
        neighbor=torch.zeros(0, dtype=torch.int64),
        vectors=torch.zeros(0, 3, dtype=torch.float64),
        batch=torch.tensor([0, 1, 1, 1]),
        n_graphs=2,
        volume=torch.tensor([10.0, 60.0], dtype=torch.float64),
        energy=torch.tensor(energy, dtype=torch.float64),
        forces=forces,
        stress=torch.zeros(2, 3, 3, dtype=torch.float64),
        has_stress=torch.tensor(stress_labels),
    )


def constant_output(energy=(1.0, -6.0), force=0.5, stress=None) -> Output:
    forces = torch.full((4, 3), force, dtype=torch.float64)
    tension = None if stress is None else torch.full((2, 3, 3), stress, dtype=torch.float64)
    return Output(torch.tensor(energy, dtype=torch.float64), forces, tension)
