"""Filling batches up changes nothing, and the compiled step gives the eager step's loss and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from models import random_model
from torch import Tensor

from tdn.data import collate, graph_from_atoms
from tdn.data.graph import Graph
from tdn.model import TDN
from tdn.training.compiled import CompiledStep
from tdn.training.padding import Shape, Shapes, fill_up, needed_shape, round_up

NAMES = ("H2O", "CH3OH", "CH4")


def batch_of(model: TDN, names: tuple[str, ...] = NAMES) -> Graph:
    return collate([labeled(model, molecule(name), seed) for seed, name in enumerate(names)])


def labeled(model: TDN, atoms: Atoms, seed: int) -> Graph:
    atoms.rattle(0.05, seed=seed)
    graph = graph_from_atoms(atoms, model.elements, model.cutoff)
    generator = torch.Generator().manual_seed(seed)
    energy = torch.randn(1, generator=generator, dtype=torch.float64)
    forces = torch.randn(len(atoms), 3, generator=generator, dtype=torch.float64)
    return Graph(**vars(graph) | {"energy": energy, "forces": forces})


def squares(output: Any, graph: Graph) -> tuple[Tensor, Tensor]:
    """A loss over labels that are numbers, without indexing by a mask."""
    assert graph.energy is not None and graph.forces is not None
    known = graph.energy.isfinite(), graph.forces.isfinite()
    energy = torch.where(known[0], output.energy - torch.where(known[0], graph.energy, 0.0), 0.0).square().sum()
    force = torch.where(known[1], output.forces - torch.where(known[1], graph.forces, 0.0), 0.0).square().sum()
    return energy + force, torch.stack([energy, force])


@pytest.fixture(scope="module")
def model() -> TDN:
    return random_model(("H", "C", "O"), n_channels=8, n_layers=1, n_heads=2, radial_hidden=(8, 8))


def eager_step(model: TDN, graph: Graph) -> tuple[Tensor, Tensor, list[Tensor]]:
    loss, sums = squares(model(graph, training=True), graph)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    both = zip(model.parameters(), gradients, strict=True)
    return loss, sums, [torch.zeros_like(weight) if found is None else found for weight, found in both]


def test_filling_up_changes_no_prediction(model: TDN) -> None:
    graph = batch_of(model)
    needed = needed_shape(graph)
    filled = fill_up(graph, Shape(needed.n_atoms + 3, needed.n_edges + 7, needed.n_graphs + 2), model.cutoff)
    plain, padded = model(graph), model(filled)
    assert torch.equal(plain.energy, padded.energy[: graph.n_graphs])
    assert torch.equal(plain.forces, padded.forces[: len(graph.species)])
    assert (padded.forces[len(graph.species) :] == 0).all()


def test_added_atoms_have_no_labels(model: TDN) -> None:
    graph = batch_of(model)
    filled = fill_up(graph, needed_shape(graph), model.cutoff)
    assert filled.energy is not None and filled.forces is not None
    assert filled.energy[-1].isnan() and filled.forces[-1].isnan().all()
    assert torch.equal(squares(model(graph), graph)[1], squares(model(filled), filled)[1])


def test_batches_of_about_one_size_share_a_shape(model: TDN) -> None:
    shapes = Shapes()
    first = shapes.fit(batch_of(model))
    assert first.holds(needed_shape(batch_of(model)))
    assert shapes.fit(batch_of(model, ("H2O", "CH3OH", "H2O"))) != first or len(shapes.known) == 1
    assert shapes.fit(batch_of(model)) == first
    large = shapes.fit(batch_of(model, ("C6H6", "C6H6")))
    assert large != first and large.holds(needed_shape(batch_of(model, ("C6H6", "C6H6"))))
    assert shapes.fit(batch_of(model)) == first


@pytest.mark.parametrize("size", [0, 1, 8, 9, 17, 960, 961, 12345])
def test_rounding_up_wastes_at_most_an_eighth(size: int) -> None:
    rounded = round_up(size)
    assert size <= rounded <= size * 1.125 + 1e-9
    assert round_up(rounded) == rounded


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_step_is_the_eager_step(model: TDN, backend: str) -> None:
    step = CompiledStep(model, squares, {}, model.cutoff, backend=backend)
    for names in (NAMES, ("CH3OH", "H2O", "CH4")):
        graph = batch_of(model, names)
        loss, sums = step(graph)
        expected, expected_sums, expected_gradients = eager_step(model, graph)
        gradients = torch.autograd.grad(2.0 * loss, list(model.parameters()))
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(sums, expected_sums, rtol=1e-12, atol=1e-12)
        for found, gradient in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(found, 2.0 * gradient, rtol=1e-9, atol=1e-9)
    assert len(step.steps) == 1


def test_compiled_step_follows_the_weights(model: TDN) -> None:
    """Weights are arguments of the compiled function, not constants in it."""
    step = CompiledStep(model, squares, {}, model.cutoff, backend="eager")
    graph = batch_of(model)
    before = step(graph)[0].item()
    with torch.no_grad():
        model.network.head_out.weight.mul_(1.5)
    after, expected = step(graph)[0].item(), squares(model(graph, training=True), graph)[0].item()
    with torch.no_grad():
        model.network.head_out.weight.div_(1.5)
    assert after == pytest.approx(expected, rel=1e-12)
    assert after != before
