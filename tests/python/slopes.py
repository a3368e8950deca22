"""Derivatives against central differences: one check of each kind, for tests and for the tests of the tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import torch
from ase import Atoms
from models import energy_of, graph_of
from tolerances import FINITE_DIFFERENCES
from torch import Tensor, nn

from tdn.model import TDN


def assert_forces_are_slopes(model: TDN, atoms: Atoms, step: float = 1e-4) -> None:
    """Some components alone, and all together along a random direction; they sum to zero."""
    forces = model(graph_of(model, atoms)).forces.numpy()
    directions = [np.zeros_like(forces) for _ in range(3)]
    for direction, place in zip(directions, ((0, 0), (2, 1), (5, 2)), strict=True):
        direction[place] = 1.0
    for direction in [*directions, np.random.default_rng(0).uniform(-1, 1, forces.shape)]:
        ends = [energy_of(model, displaced(atoms, sign * step * direction)) for sign in (1, -1)]
        slope = -(ends[0] - ends[1]) / (2 * step)
        limit = FINITE_DIFFERENCES * abs(forces).max() * np.linalg.norm(direction)
        assert abs(slope - (forces * direction).sum()) < limit
    assert abs(forces.sum(axis=0)).max() < 1e-12


def displaced(atoms: Atoms, by: np.ndarray) -> Atoms:
    """Copy with positions moved by (n, 3), angstrom."""
    result = atoms.copy()
    result.positions += by
    return result


def assert_stress_is_slope(model: TDN, atoms: Atoms, step: float = 1e-5) -> None:
    """All six components are derivatives of the energy by strain, over the volume."""
    stress = model(graph_of(model, atoms), stress=True).stress[0].numpy()
    for row, column in combinations_with_replacement(range(3), 2):
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            ends.append(energy_of(model, moved_affinely(atoms, strain)))
        slope = (ends[0] - ends[1]) / (2 * step) / atoms.get_volume()
        for found in (stress[row, column], stress[column, row]):
            assert abs(slope - found) < FINITE_DIFFERENCES * abs(stress).max()


def moved_affinely(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Cell and positions strained."""
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
    return result


def assert_edge_gradients_are_slopes(
    energy: Callable[[Tensor], Tensor], vectors: Tensor, gradients: Tensor, step: float = 1e-4
) -> None:
    """Gradients (n_edges, 3) of ``energy(vectors)``: components of every 13th edge, and all in a random direction."""
    generator = torch.Generator().manual_seed(0)
    directions = [torch.rand(vectors.shape, generator=generator, dtype=torch.float64) - 0.5]
    for edge in range(0, len(vectors), 13):
        for axis in range(3):
            directions.append(torch.zeros_like(vectors))
            directions[-1][edge, axis] = 1.0
    for direction in directions:
        slope = (energy(vectors + step * direction) - energy(vectors - step * direction)) / (2 * step)
        limit = FINITE_DIFFERENCES * gradients.abs().max() * direction.norm()
        assert abs(slope - (gradients * direction).sum()) < limit


def assert_weight_gradients_are_slopes(model: nn.Module, loss: Callable[[], Tensor], step: float = 1e-5) -> None:
    """The gradient of a loss by each parameter, in a random direction of the parameter's space."""
    parameters = dict(model.named_parameters())
    model.zero_grad()
    loss().backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in parameters.items()}
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    generator = torch.Generator().manual_seed(0)
    for name, parameter in parameters.items():
        direction = torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.5
        ends = [loss_at(loss, parameter, sign * step * direction) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        error = abs(slope - float((gradients[name] * direction).sum()))
        assert error < FINITE_DIFFERENCES * max(largest, 1e-3) * float(direction.norm()), name


def loss_at(loss: Callable[[], Tensor], parameter: nn.Parameter, shift: Tensor) -> float:
    """The loss with a parameter moved; it is moved back."""
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(shift)
    value = float(loss().detach())
    with torch.no_grad():
        parameter.copy_(before)
    return value
