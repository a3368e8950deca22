"""The checks of derivatives and of neighbor lists can fail: each sees one wrong number, and passes without it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
import structures
import test_neighbors
from fused_cases import Case
from models import elements_of, random_model
from slopes import (
    assert_edge_gradients_are_slopes,
    assert_forces_are_slopes,
    assert_stress_is_slope,
    assert_weight_gradients_are_slopes,
)
from test_compiled_step import batch_of, squares
from torch import Tensor

from tdn.model import prediction

SMALL = {"n_channels": 8, "n_layers": 2, "n_heads": 2, "radial_hidden": (8, 8)}
#: Relative error of the one wrong number.
WRONG = 1e-3


def wrong(values: Tensor, index: int) -> Tensor:
    """Copy with one number changed."""
    changed = values.detach().clone()
    changed.view(-1)[index] *= 1 + WRONG
    return changed


@pytest.fixture(scope="module")
def ethanol():
    """A molecule and a model of it."""
    atoms = structures.ethanol()
    return random_model(elements_of(atoms), **SMALL), atoms


@pytest.mark.parametrize("index", [0, 100, -1])
def test_one_edge_gradient(ethanol, monkeypatch: pytest.MonkeyPatch, index: int):
    assert_forces_are_slopes(*ethanol)
    true = prediction.edge_gradient
    monkeypatch.setattr(prediction, "edge_gradient", lambda *args: wrong(true(*args), index))
    with pytest.raises(AssertionError):
        assert_forces_are_slopes(*ethanol)


@pytest.mark.parametrize("index", [0, 100, -1])
def test_one_force(ethanol, monkeypatch: pytest.MonkeyPatch, index: int):
    true = prediction.forces_and_virial

    def changed(*args) -> tuple[Tensor, Tensor]:
        forces, virial = true(*args)
        return wrong(forces, index % forces.numel()), virial

    monkeypatch.setattr(prediction, "forces_and_virial", changed)
    with pytest.raises(AssertionError):
        assert_forces_are_slopes(*ethanol)


@pytest.fixture(scope="module")
def crystal():
    """A sheared crystal and a model of it, with a stress in every component."""
    return random_model(("Si",), **SMALL), structures.rattled(structures.small_cell(), 0.1)


@pytest.mark.parametrize(("row", "column"), list(combinations_with_replacement(range(3), 2)))
def test_one_sign_of_the_virial(crystal, monkeypatch: pytest.MonkeyPatch, row: int, column: int):
    assert_stress_is_slope(*crystal)
    true = prediction.stress_from_virial

    def changed(*args) -> Tensor:
        stress = true(*args).clone()
        stress[:, row, column] *= -1
        return stress

    monkeypatch.setattr(prediction, "stress_from_virial", changed)
    with pytest.raises(AssertionError):
        assert_stress_is_slope(*crystal)


@pytest.mark.parametrize("index", [0, 100, -1])
def test_one_edge_gradient_of_the_fused_engine(tmp_path_factory: pytest.TempPathFactory, index: int):
    case = Case.make(tmp_path_factory.mktemp("case"), n_channels=8, n_layers=1, n_heads=2)
    graph, engine = case.random_edges((9, 0, 50, 4)), case.engine()

    def energy(vectors: Tensor) -> Tensor:
        return case.evaluate(engine, replace(graph, vectors=vectors)).energies.sum()

    gradients = case.evaluate(engine, graph).gradients
    assert_edge_gradients_are_slopes(energy, graph.vectors, gradients)
    with pytest.raises(AssertionError):
        assert_edge_gradients_are_slopes(energy, graph.vectors, wrong(gradients, index))


@pytest.fixture(scope="module")
def training():
    """A model and its loss of energies and forces, which holds second derivatives of the energy."""
    model = random_model(("H", "C", "O"), n_channels=4, n_layers=1, n_heads=2, radial_hidden=(4, 4))
    graph = batch_of(model, ("H2O", "CH4"))
    return model, lambda: squares(model(graph, training=True), graph)[0]


def test_gradients_of_a_loss_are_slopes(training):
    assert_weight_gradients_are_slopes(*training)


@pytest.mark.parametrize("which", [0, 7, -1])
def test_one_gradient_of_a_weight(training, which: int):
    """The largest number of one parameter's gradient."""
    model, loss = training
    model.zero_grad()
    loss().backward()
    moving = [p for p in model.parameters() if p.grad is not None and p.grad.abs().max() > 1e-2]
    largest = int(moving[which].grad.abs().argmax())
    hook = moving[which].register_hook(lambda gradient: wrong(gradient, largest))
    with pytest.raises(AssertionError):
        assert_weight_gradients_are_slopes(model, loss)
    hook.remove()


@pytest.mark.parametrize("vector", range(3))
def test_one_shift_of_an_image(monkeypatch: pytest.MonkeyPatch, vector: int):
    check = test_neighbors.TestNeighborList().test_equals_explicit_images
    check(test_neighbors.SMALL, 5.0, (True, True, True))
    true = test_neighbors.neighbor_list

    def changed(positions, cell, periodic, cutoff):
        center, neighbor, vectors = true(positions, cell, periodic, cutoff)
        vectors = np.array(vectors)
        vectors[len(vectors) // 2] += cell[vector]
        return center, neighbor, vectors

    monkeypatch.setattr(test_neighbors, "neighbor_list", changed)
    with pytest.raises(AssertionError):
        check(test_neighbors.SMALL, 5.0, (True, True, True))
