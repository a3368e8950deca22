"""Errors, loss and learning rate against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from tiny import crystals, labeled
from torch import Tensor

from tdn.data import Graph, graph_from_atoms
from tdn.model import TDN, ModelConfig
from tdn.training.config import TrainingConfig
from tdn.training.evaluation import error_table, evaluate
from tdn.training.loss import loss_of
from tdn.training.metrics import ErrorSums, differences
from tdn.training.schedule import learning_rate_factor

NAN = float("nan")


@dataclass
class Output:
    """A prediction written down."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None = None


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


class TestDifferences:
    def test_energy_is_per_atom(self):
        assert differences(constant_output(), two_structures())["energy"].tolist() == [1.0, -2.0]

    def test_missing_labels_are_left_out(self):
        errors = differences(constant_output(), two_structures(energy=(NAN, 0.0)))
        assert errors["energy"].tolist() == [-2.0]
        assert errors["force"].tolist() == [0.5] * 9

    def test_stress_of_labeled_structures_only(self):
        assert differences(constant_output(stress=0.1), two_structures())["stress"].tolist() == [0.1] * 9
        assert "stress" not in differences(constant_output(), two_structures())


class TestErrorSums:
    def test_batches_count_by_their_size(self):
        sums = ErrorSums()
        sums.add({"force": torch.tensor([1.0, -1.0, 1.0])})
        sums.add({"force": torch.tensor([5.0])})
        assert sums.result() == pytest.approx({"force_mae": 2000.0, "force_rmse": 1e3 * math.sqrt(7.0)})

    def test_property_without_labels_is_absent(self):
        sums = ErrorSums()
        sums.add({"force": torch.zeros(0), "energy": torch.tensor([2.0])})
        assert set(sums.result()) == {"energy_mae", "energy_rmse"}

    def test_nothing_counted(self):
        assert ErrorSums().result() == {}


class TestLoss:
    weights = TrainingConfig(energy_weight=3.0, force_weight=5.0, stress_weight=7.0)

    def loss(self, output, graph):
        return float(loss_of(differences(output, graph), graph, self.weights))

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


class TestEvaluate:
    def test_errors_do_not_depend_on_the_batch_size(self):
        graphs = [two_structures(energy=(k, NAN)) for k in range(5)]

        def model(graph: Graph, stress: bool) -> Output:
            repeats = graph.n_graphs // 2
            output = constant_output(stress=0.1)
            assert output.stress is not None
            parts = (
                output.energy.repeat(repeats),
                output.forces.repeat(repeats, 1),
                output.stress.repeat(repeats, 1, 1),
            )
            return Output(*parts)

        results = [evaluate(model, graphs, torch.float64, batch_size=size) for size in (1, 2, 5)]
        for result in results:
            assert result.errors == pytest.approx(results[0].errors)
            assert result.pairs["energy"][0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
            assert len(result.pairs["force"][1]) == 45

    @pytest.mark.parametrize(("setting", "per_atom"), [("md", False), ("paper", True)])
    def test_energy_of_an_imported_model_is_per_atom(self, setting, per_atom):
        """The label is a total energy; the paper's model answers with an energy per atom."""
        options = {"n_channels": 4, "n_layers": 1, "n_heads": 2, "n_radial": 4, "radial_hidden": (4, 4)}
        model = TDN(ModelConfig(("Cu", "Au"), setting=setting, cutoff=3.5, **options)).double()
        atoms = crystals(2)
        graphs = [graph_from_atoms(frame, model.elements, model.cutoff, labels=True) for frame in atoms]
        graphs.append(graph_from_atoms(labeled(atoms[0] * (2, 1, 1)), model.elements, model.cutoff, labels=True))
        raw = torch.cat([model(graph).energy for graph in graphs])
        sizes = torch.tensor([4, 4, 8])
        expected = raw if per_atom else raw / sizes
        result = evaluate(model, graphs, torch.float64, batch_size=2)
        labels = torch.cat([graph.energy for graph in graphs]) / sizes
        torch.testing.assert_close(result.pairs["energy"][1], expected)
        torch.testing.assert_close(result.pairs["energy"][0], labels)
        assert result.errors["energy_mae"] == pytest.approx(1e3 * float((expected - labels).abs().mean()))

    def test_table_has_a_line_for_each_property(self):
        text = error_table({"energy_mae": 1.0, "energy_rmse": 2.0, "force_mae": 3.0, "force_rmse": 4.25})
        lines = text.splitlines()
        assert len(lines) == 3
        assert lines[1].split() == ["energy", "1.000", "2.000", "meV/atom"]
        assert lines[2].split() == ["force", "3.000", "4.250", "meV/angstrom"]


class TestLearningRate:
    @pytest.mark.parametrize(
        ("progress", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.505), (1.0, 0.01), (1.5, 0.01)]
    )
    def test_warm_up_then_cosine(self, progress, factor):
        assert learning_rate_factor(progress, warmup=0.1, final=0.01) == pytest.approx(factor)

    def test_without_warm_up(self):
        assert learning_rate_factor(0.0, warmup=0.0, final=0.01) == 1.0
