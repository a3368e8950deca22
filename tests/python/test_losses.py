"""Losses against values worked out by hand, their shares in several processes, and their traces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from answers import NAN, Output, constant_output, two_structures
from models import random_model
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from tdn.config.training import TrainingConfig
from tdn.data import Graph
from tdn.training.loss import LOSSES, weights_of
from tdn.training.module import TrainingModule, share_of


def loss_of(output: Output, graph: Graph, options: TrainingConfig, counts: Tensor | None = None) -> Tensor:
    """The trainer's loss of a prediction that is written down; ``counts`` when the graph is a share of a batch."""
    module = trainer(options, output.stress is not None)
    return module.loss_and_rows(output, module.share(graph, weights_of(options), counts))[0]


def trainer(options: TrainingConfig, stress: bool = False) -> TrainingModule:
    return TrainingModule(random_model(("H",), n_channels=4, n_layers=1), options, stress)


class TestLoss:
    weights = TrainingConfig(energy_weight=3.0, force_weight=5.0, stress_weight=7.0)

    def loss(self, output, graph, **options):
        return float(loss_of(output, graph, replace(self.weights, **options)))

    def test_energy_and_forces(self):
        expected = 3.0 * (1.0 + 4.0) / 2 + 5.0 * 0.25
        assert self.loss(constant_output(), two_structures()) == pytest.approx(expected)

    def test_stress_enters_as_virial_per_atom(self):
        both = two_structures(stress_labels=(True, True))
        added = self.loss(constant_output(stress=0.1), both) - self.loss(constant_output(), both)
        assert added == pytest.approx(7.0 * ((0.1 * 10.0) ** 2 + (0.1 * 60.0 / 3) ** 2) / 2)

    def test_batch_without_any_stress_label(self):
        none = two_structures(stress_labels=(False, False))
        assert self.loss(constant_output(stress=0.1), none) == pytest.approx(self.loss(constant_output(), none))

    def test_batch_without_energies(self):
        graph = two_structures(energy=(NAN, NAN))
        assert self.loss(constant_output(), graph) == pytest.approx(5.0 * 0.25)

    def test_batch_without_labels(self):
        graph = two_structures(energy=(NAN, NAN))
        assert self.loss(constant_output(), replace(graph, forces=NAN * graph.forces)) == 0.0

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("mse", (9.0 + 16.0 + 4.0 + 1.0) / 9),
            ("mae", (3.0 + 4.0 + 2.0 + 1.0) / 9),
            ("huber", (2 * (3.0 - 0.5) + 2 * (4.0 - 0.5) + 2 * (2.0 - 0.5) + 1.0) / 2 / 9),
            ("rmse", math.sqrt((25.0 + 4.0 + 1.0) / 3)),
            ("norm", (5.0 + 2.0 + 1.0) / 3),
        ],
    )
    def test_losses_of_forces(self, name, expected):
        output = constant_output(energy=(0.0, 0.0))
        output.forces = torch.tensor([[9.0, 9, 9], [3, 4, 0], [0, -2, 0], [0, 0, 1]], dtype=torch.float64)
        loss = self.loss(output, two_structures(), force_loss=name, huber_delta=1.0)
        assert loss == pytest.approx(5.0 * expected)

    def test_cosine_is_blind_to_lengths(self):
        graph, output = two_structures(), constant_output(energy=(0.0, 0.0))
        graph.forces[1:] = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, -1]])
        output.forces = torch.tensor([[1.0, 1, 1], [5, 0, 0], [3, 0, 0], [0, 0, 3]], dtype=torch.float64)
        assert self.loss(output, graph, force_loss="cosine") == pytest.approx(5.0 * (0.0 + 1.0 + 2.0) / 3)

    @pytest.mark.parametrize(("name", "expected"), [("mae", 1.5), ("huber", (0.5 + 1.5) / 2)])
    def test_losses_of_energies(self, name, expected):
        loss = self.loss(constant_output(force=0.0), two_structures(), energy_loss=name, huber_delta=1.0)
        assert loss == pytest.approx(3.0 * expected)

    @pytest.mark.parametrize("name", sorted(LOSSES["force"]))
    def test_gradients_are_finite_where_errors_vanish(self, name):
        output = constant_output(force=0.0)
        output.forces.requires_grad_()
        loss = loss_of(output, two_structures(), replace(self.weights, force_loss=name))
        assert torch.autograd.grad(loss, output.forces)[0].isfinite().all()

    @pytest.mark.parametrize("name", sorted(LOSSES["force"]))
    def test_shares_of_a_batch_add_up(self, name):
        """Sums of two structures alone, divided by the labels of both, are the loss of the batch."""
        options = replace(self.weights, force_loss=name, energy_loss="mae")
        graph, output = two_structures(), constant_output()
        shares = []
        for index in (0, 1):
            atoms = graph.batch == index
            batch = graph.batch[atoms] - index
            one = replace(graph, batch=batch, species=graph.species[atoms], forces=graph.forces[atoms], n_graphs=1)
            one = replace(one, energy=graph.energy[[index]], volume=graph.volume[[index]])
            answer = Output(output.energy[[index]], output.forces[atoms])
            shares.append((answer, one))
        counts = sum(trainer(options).counts(one) for _, one in shares)
        split = sum(loss_of(answer, one, options, counts) for answer, one in shares)
        torch.testing.assert_close(split, loss_of(output, graph, options))

    @pytest.mark.parametrize("name", sorted(LOSSES["force"]))
    def test_loss_and_sums_can_be_traced(self, name):
        """Nothing in them depends on the values: one trace serves every batch of the same shape."""
        options = replace(self.weights, force_loss=name)
        graph, module = two_structures(), trainer(options)
        factors = module.share(graph, weights_of(options)).factors

        def step(energy, forces, labels):
            return module.loss_and_rows(Output(energy, forces), share_of(replace(graph, forces=labels), factors))

        output = constant_output()
        other = graph.forces.roll(1, 0)
        traced = make_fx(step)(output.energy, output.forces, graph.forces)
        for labels in (graph.forces, other):
            for found, expected in zip(
                traced(output.energy, output.forces, labels), step(output.energy, output.forces, labels), strict=True
            ):
                torch.testing.assert_close(found, expected)
