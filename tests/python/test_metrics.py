"""Errors and learning rate against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from answers import NAN, Output, constant_output, two_structures
from tiny import crystals, labeled

from tdn.data import Graph, graph_from_atoms
from tdn.evaluation.evaluate import evaluate
from tdn.evaluation.metrics import METRICS, Difference, ErrorSums, differences
from tdn.evaluation.report import error_table
from tdn.model import TDN, ModelConfig
from tdn.training.schedule import learning_rate_factor


class TestDifferences:
    def test_energy_is_per_atom(self):
        energy = differences(constant_output(), two_structures())["energy"]
        assert (energy.error.tolist(), energy.weight.tolist()) == ([1.0, -2.0], [1.0, 1.0])

    def test_energy_of_a_per_atom_model(self):
        graph = two_structures(energy=(0.0, 3.0))
        assert differences(constant_output(), graph, "per_atom")["energy"].error.tolist() == [1.0, -7.0]

    def test_missing_labels_have_no_weight(self):
        errors = differences(constant_output(), two_structures(energy=(NAN, 0.0)))
        assert (errors["energy"].error.tolist(), errors["energy"].weight.tolist()) == ([0.0, -2.0], [0.0, 1.0])
        assert errors["force"].error.tolist() == [[0.0] * 3] + [[0.5] * 3] * 3
        assert errors["force"].weight.tolist() == [[0.0] * 3] + [[1.0] * 3] * 3

    def test_stress_of_labeled_structures_only(self):
        stress = differences(constant_output(stress=0.1), two_structures())["stress"]
        assert stress.error.flatten().tolist() == [0.1] * 9 + [0.0] * 9
        assert stress.weight.flatten().tolist() == [1.0] * 9 + [0.0] * 9
        assert "stress" not in differences(constant_output(), two_structures())

    def test_direct_head_beside_gradient_forces(self):
        output = constant_output()
        output.kind, output.direct_forces = "gradient", 2.0 * output.forces
        errors = differences(output, two_structures())
        assert errors["direct_force"].error.tolist() == [[0.0] * 3] + [[1.0] * 3] * 3
        output.kind = "direct"  # then they are the forces themselves
        assert "direct_force" not in differences(output, two_structures())

    def test_missing_label_gives_no_gradient(self):
        output = constant_output()
        output.forces.requires_grad_()
        force = differences(output, two_structures())["force"]
        (gradient,) = torch.autograd.grad((force.weight * force.error.square()).sum(), output.forces)
        assert gradient.tolist() == [[0.0] * 3] + [[1.0] * 3] * 3


class TestErrorSums:
    def test_batches_count_by_their_size(self):
        sums = ErrorSums()
        sums.add({"force": torch.tensor([1.0, -1.0, 1.0])})
        sums.add({"force": torch.tensor([5.0])})
        assert sums.result() == pytest.approx({"force_mae": 2000.0, "force_rmse": 1e3 * math.sqrt(7.0)})

    def test_property_without_labels_is_absent(self):
        sums = ErrorSums()
        sums.add({"force": Difference(torch.zeros(2), torch.zeros(2)), "energy": torch.tensor([2.0])})
        assert set(sums.result()) == {"energy_mae", "energy_rmse"}

    def test_nothing_counted(self):
        assert ErrorSums().result() == {}

    def test_force_error_of_the_paper(self):
        """Root over atoms of the squared vectors in each structure, then the mean over structures."""
        output, graph = constant_output(), two_structures()
        graph = replace(graph, forces=torch.zeros(4, 3, dtype=torch.float64))
        output.forces[0] = torch.tensor([3.0, 4.0, 0.0])
        sums = ErrorSums()
        sums.add(differences(output, graph), graph)
        assert sums.result()["force_structure_rmse"] == pytest.approx(1e3 * (5.0 + math.sqrt(0.75)) / 2)
        assert sums.result()["force_rmse"] == pytest.approx(1e3 * math.sqrt((25.0 + 9 * 0.25) / 12))

    def test_every_error_of_a_run_is_defined(self):
        output = constant_output(stress=0.1)
        output.kind, output.direct_forces = "gradient", output.forces
        sums = ErrorSums()
        sums.add(differences(output, two_structures()), two_structures())
        assert set(sums.result()) == set(METRICS)


class Constant:
    """A model (``tdn.model.protocol``) with the same answer for all pairs of structures."""

    elements, cutoff, dtype, device = ("H",), 1.0, torch.float64, torch.device("cpu")
    force_kinds, energy_convention, free_energies = ("gradient",), "extensive", ()

    def __call__(self, graph: Graph, *, stress: bool, forces: str | None) -> Output:
        repeats = graph.n_graphs // 2
        output = constant_output(stress=0.1)
        assert output.stress is not None
        parts = (output.energy.repeat(repeats), output.forces.repeat(repeats, 1), output.stress.repeat(repeats, 1, 1))
        return Output(*parts)


class TestEvaluate:
    def test_errors_do_not_depend_on_the_batch_size(self):
        graphs = [two_structures(energy=(k, NAN)) for k in range(5)]

        results = [evaluate(Constant(), graphs, batch_size=size) for size in (1, 2, 5)]
        for result in results:
            assert result.errors == pytest.approx(results[0].errors)
            assert result.pairs["energy"][0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
            assert len(result.pairs["force"][1]) == 45

    @pytest.mark.parametrize(("setting", "per_atom"), [("md", False), ("paper", True)])
    def test_energy_of_an_imported_model_is_per_atom(self, setting, per_atom):
        """The label is a total energy; the paper's model answers with an energy per atom."""
        options = {"n_channels": 4, "n_layers": 1, "n_heads": 2, "n_radial": 4, "radial_hidden": (4, 4)}
        attention = {"attention": "softmax"} if setting == "paper" else {}
        model = TDN(ModelConfig(("Cu", "Au"), setting=setting, cutoff=3.5, **options, **attention)).double()
        atoms = crystals(2)
        graphs = [graph_from_atoms(frame, model.elements, model.cutoff, labels=True) for frame in atoms]
        graphs.append(graph_from_atoms(labeled(atoms[0] * (2, 1, 1)), model.elements, model.cutoff, labels=True))
        raw = torch.cat([model(graph).energy for graph in graphs])
        sizes = torch.tensor([4, 4, 8])
        expected = raw if per_atom else raw / sizes
        result = evaluate(model, graphs, batch_size=2)
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
