"""Errors on labeled structures against numbers worked out with numpy, structure by structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from evaluation_reference import ELEMENTS, Frames, Reference, frames, small_model
from tiny import crystals, labeled

from tdn.ase import TDNCalculator
from tdn.data import Graph
from tdn.data.source import Source
from tdn.errors import TDNError
from tdn.evaluation.breakdown import FORCE_BOUNDS, RANGES, force_range
from tdn.evaluation.evaluate import Evaluation, evaluate
from tdn.evaluation.plots import MAX_GROUPS, count, plot_parity
from tdn.evaluation.report import error_table, report
from tdn.evaluation.sample import Sample
from tdn.evaluation.stream import labeled_graphs, spread
from tdn.model import TDN

NAN = float("nan")


@pytest.fixture(scope="module")
def model() -> TDN:
    return small_model()


@pytest.fixture(scope="module")
def reference(model) -> Reference:
    return Reference(model, frames())


def evaluated(model: TDN, source: Source, batch_size: int = 4, **options) -> Evaluation:
    graphs = labeled_graphs(source, model.elements, model.cutoff)
    return evaluate(model, graphs, batch_size=batch_size, **options)


class TestErrors:
    @pytest.mark.parametrize("batch_size", [1, 4, 100])
    def test_errors(self, model, reference, batch_size):
        found = evaluated(model, Frames(frames()), batch_size)
        assert found.errors == pytest.approx(reference.errors(), rel=1e-9)
        assert (found.n_structures, found.n_atoms) == (6, 28)

    def test_by_element(self, model, reference):
        rows = evaluated(model, Frames(frames())).by_element
        assert [row.pop("group") for row in rows] == list(ELEMENTS)
        for element, row in zip(ELEMENTS, rows, strict=True):
            assert row == reference.group([name == element for name, _, _ in reference.rows])

    def test_by_size_of_the_force(self, model, reference):
        rows = evaluated(model, Frames(frames())).by_force
        lengths = [np.linalg.norm(label) for _, label, _ in reference.rows]
        bounds = [*FORCE_BOUNDS, np.inf]
        expected = {
            name: reference.group([bounds[k] <= length < bounds[k + 1] for length in lengths])
            for k, name in enumerate(RANGES)
            if any(bounds[k] <= length < bounds[k + 1] for length in lengths)
        }
        assert len(expected) > 1
        assert {row.pop("group"): row for row in rows} == expected

    def test_of_each_structure(self, model, reference):
        rows: list = []
        evaluated(model, Frames(frames()), on_structure=rows.append)
        assert [row.index for row in rows] == list(range(6))
        assert [row.n_atoms for row in rows] == [4, 4, 8, 4, 4, 4]
        energies = [row.energy_error_per_atom for row in rows]
        assert energies == pytest.approx(
            [1e3 * e for e in [*reference.energy[:3], NAN, *reference.energy[3:]]], nan_ok=True
        )
        assert rows[0].predicted_energy - rows[0].energy == pytest.approx(reference.total[0])
        vector = [row.force_vector_rmse for row in rows]
        expected = [*reference.structure[:4], NAN, reference.structure[4]]
        assert vector == pytest.approx([1e3 * e for e in expected], nan_ok=True)
        assert [row.force_rmse * 3**0.5 for row in rows] == pytest.approx(vector, nan_ok=True)
        first = np.array([error for _, _, error in reference.rows[:4]])
        assert rows[0].force_max == pytest.approx(1e3 * np.linalg.norm(first, axis=1).max())
        assert rows[0].force_mae == pytest.approx(1e3 * abs(first).mean())
        assert rows[0].stress_rmse == pytest.approx(1e3 * np.sqrt(np.mean(reference.stress[0] ** 2)))
        assert np.isnan([rows[4].force_max, rows[4].force_mae, rows[5].stress_rmse]).all()

    def test_a_range_begins_with_its_lower_bound(self):
        lengths = [0.0, 0.05, 0.1, 0.2, 0.3, 29.0, 30.0, 1e3]
        labels = torch.tensor([[0.0, length, 0.0] for length in lengths], dtype=torch.float64)
        assert force_range(labels).tolist() == [0, 0, 1, 1, 2, 5, 6, 6]
        assert (RANGES[1], RANGES[-1]) == ("0.1 to 0.3", "above 30")


class TestStream:
    def test_structures_are_read_batch_by_batch(self, model):
        """A stream of any length is read once, and no more than a batch ahead of what is counted."""
        source = Frames(crystals(5))
        counted: list[int] = []

        def watch(row) -> None:
            counted.append(row.index)
            assert len(source.asked) <= 2 * (row.index // 2 + 1)

        evaluated(model, source, 2, on_structure=watch)
        assert source.asked == counted == [0, 1, 2, 3, 4]

    def test_complaint_names_the_structure(self, model):
        alone = labeled(Atoms("Ag"), ("energy", "forces"))
        with pytest.raises(TDNError, match="frame 1: element Ag is not in the model"):
            evaluated(model, Frames([crystals(1)[0], alone]))

    def test_spread(self):
        source = Frames(crystals(7))
        assert spread(source, None) is source and spread(source, 7) is source
        list(spread(source, 3))
        assert source.asked == [0, 2, 4]
        with pytest.raises(TDNError, match="the limit is 0 structures; give a positive number"):
            spread(source, 0)

    def test_sample_is_bounded_and_fair(self):
        sample = Sample(1000)
        for first in range(0, 20_000, 500):
            values = torch.arange(first, first + 500, dtype=torch.float64)
            sample.add(values, -values)
        labels, predicted = sample.pairs
        assert len(labels) == 1000 and torch.equal(predicted, -labels)
        assert torch.equal(labels, labels.sort().values) and len(labels.unique()) == 1000
        # 16 strata of 62.5 expected: five standard deviations are 39
        assert (torch.histc(labels, 16, 0, 20_000) - 62.5).abs().max() < 39

    def test_short_stream_is_kept_whole(self):
        sample = Sample(10)
        sample.add(torch.tensor([[1.0, NAN], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]]))
        assert sample.pairs.tolist() == [[1.0, 3.0, 4.0], [5.0, 7.0, 8.0]]


class TestReport:
    def test_every_number_has_its_unit_and_meaning(self, model):
        text = report(evaluated(model, Frames(frames())))
        for words in ("meV/atom ", "energy of whole structures", "Cartesian components", "the TDN paper", "0.3 to 1 "):
            assert words in text
        lines = [line.split() for line in text.splitlines()]
        assert [line[1] for line in lines if line and line[0] in ELEMENTS] == [
            "14",
            "8",
        ]  # two of each frame with held atoms are free

    def test_error_without_mean(self):
        assert error_table({"force_structure_rmse": 2.0}).splitlines()[1].split() == [
            "force_structure",
            "-",
            "2.000",
            "meV/angstrom",
        ]

    def test_plot_of_energies_alone(self, model, tmp_path: Path):
        alone = [labeled(atoms, ("energy",)) for atoms in crystals(2)]
        plot_parity(evaluated(model, Frames(alone)), tmp_path / "p.png")
        assert (tmp_path / "p.png").stat().st_size > 1000

    def test_plot_of_many_elements_shows_the_worst(self, model, tmp_path: Path, monkeypatch):
        found = evaluated(model, Frames(frames()))
        rows = [dict(found.by_element[0], group=str(k), rmse=1.0 + k) for k in range(MAX_GROUPS + 5)]
        shown: list = []
        monkeypatch.setattr("matplotlib.axes.Axes.set_xticks", lambda _, places, names, **kw: shown.append(names))
        plot_parity(replace(found, by_element=rows), tmp_path / "p.png")
        assert [name.split("\n")[0] for name in shown[0]] == [str(k) for k in range(5, MAX_GROUPS + 5)]

    @pytest.mark.parametrize(("number", "text"), [(9999, "9999"), (123_456, "123 k"), (4_500_000, "4.5 M")])
    def test_numbers_of_atoms(self, number, text):
        assert count(number) == text


def test_graphs_in_memory_are_taken_too(model):
    """What the trainer gives: a list."""
    graphs: list[Graph] = list(labeled_graphs(Frames(frames()), model.elements, model.cutoff))
    assert evaluate(model, graphs).errors == pytest.approx(evaluated(model, Frames(frames())).errors)


def test_results_of_a_calculator_are_labels_too(model):
    """A model evaluated on its own predictions has no error."""
    atoms = crystals(1)[0]
    calculator = TDNCalculator(model)
    values = {name: calculator.get_property(name, atoms) for name in ("energy", "forces", "stress")}
    atoms.calc = SinglePointCalculator(atoms, **values)
    assert max(evaluated(model, Frames([atoms])).errors.values()) < 1e-9
