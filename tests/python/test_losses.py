"""Losses against values worked out by hand, their shares in several processes, and their traces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from answers import NAN, Output, constant_output, two_structures
from torch.fx.experimental.proxy_tensor import make_fx

from tdn.training.config import TrainingConfig
from tdn.training.loss import LOSSES, loss_of, loss_terms, weighted_mean, weights_of
from tdn.training.metrics import batch_sums, differences


class TestLoss:
    weights = TrainingConfig(energy_weight=3.0, force_weight=5.0, stress_weight=7.0)

    def loss(self, output, graph, **options):
        return float(loss_of(differences(output, graph), graph, replace(self.weights, **options)))

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
        errors = differences(output, two_structures())
        loss = loss_of(errors, two_structures(), replace(self.weights, force_loss=name))
        assert torch.autograd.grad(loss, output.forces)[0].isfinite().all()

    @pytest.mark.parametrize("name", sorted(LOSSES["force"]))
    def test_shares_of_a_batch_add_up(self, name):
        """Terms of two structures alone, divided by the labels of both, are the loss of the batch."""
        options = replace(self.weights, force_loss=name, energy_loss="mae")
        graph, output = two_structures(), constant_output()
        whole = loss_of(differences(output, graph), graph, options)
        parts = []
        for index in (0, 1):
            atoms = graph.batch == index
            batch = graph.batch[atoms] - index
            one = replace(graph, batch=batch, species=graph.species[atoms], forces=graph.forces[atoms], n_graphs=1)
            one = replace(one, energy=graph.energy[[index]], volume=graph.volume[[index]])
            answer = Output(output.energy[[index]], output.forces[atoms])
            parts.append(loss_terms(differences(answer, one), one, options))
        counts = {key: parts[0][key].number + parts[1][key].number for key in parts[0]}
        split = sum(weighted_mean(terms, weights_of(options), counts) for terms in parts)
        torch.testing.assert_close(split, whole)

    @pytest.mark.parametrize("name", sorted(LOSSES["force"]))
    def test_loss_and_sums_can_be_traced(self, name):
        """Nothing in them depends on the values: one trace serves every batch of the same shape."""
        options = replace(self.weights, force_loss=name)
        graph = replace(two_structures(), vectors=torch.zeros(0, 3))

        def step(energy, forces, labels):
            labeled_graph = replace(graph, forces=labels)
            errors = differences(Output(energy, forces), labeled_graph)
            return loss_of(errors, labeled_graph, options), batch_sums(errors, labeled_graph)["force_structure"]

        output = constant_output()
        other = graph.forces.roll(1, 0)
        traced = make_fx(step)(output.energy, output.forces, graph.forces)
        for labels in (graph.forces, other):
            for found, expected in zip(
                traced(output.energy, output.forces, labels), step(output.energy, output.forces, labels), strict=True
            ):
                torch.testing.assert_close(found, expected)
