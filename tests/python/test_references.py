"""Reference energies of elements and the scale of energies."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tdn.data import graph_from_atoms
from tdn.data.dataset import without_references
from tdn.errors import TDNError
from tdn.statistics.references import (
    choose_references,
    composition,
    energy_scale,
    given_references,
    least_squares_references,
)

ELEMENTS = ("Cu", "Au")


class TestReferences:
    def graphs(self, energies=(-3.0, -5.0)):
        """Structures whose energy is the sum of the given atom energies."""
        result = []
        for symbols in ("Cu2Au", "CuAu3", "Cu4"):
            atoms = Atoms(symbols, [[3.0 * k, 0, 0] for k in range(len(Atoms(symbols)))])
            energy = sum(energies[ELEMENTS.index(symbol)] for symbol in atoms.symbols)
            atoms.calc = SinglePointCalculator(atoms, energy=energy)
            result.append(graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True))
        return result

    def atom(self, symbol, energy):
        atoms = Atoms(symbol)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        return graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)

    def choose(self, graphs, isolated_atoms=(), wish="auto"):
        energies = torch.cat([graph.energy for graph in graphs])
        return choose_references(wish, composition(graphs, 2), energies, isolated_atoms, ELEMENTS)

    def test_least_squares_finds_exact_sums(self):
        energies, source = self.choose(self.graphs())
        assert energies == pytest.approx([-3.0, -5.0])
        assert source == "least squares"

    def test_isolated_atoms_come_first(self):
        isolated_atoms = [self.atom("Cu", -1.0), self.atom("Au", -2.0)]
        assert self.choose(self.graphs(), isolated_atoms) == ([-1.0, -2.0], "isolated atoms")
        assert self.choose(self.graphs(), isolated_atoms, "least_squares")[1] == "least squares"

    def test_isolated_atoms_of_some_elements_are_not_enough(self):
        assert self.choose(self.graphs(), [self.atom("Cu", -1.0)])[1] == "least squares"

    def test_structures_without_energies_are_left_out_of_the_fit(self):
        graphs = self.graphs()
        energies = torch.cat([graph.energy for graph in graphs])
        counts = torch.cat([composition(graphs, 2), torch.tensor([[5.0, 0.0]]).double()])
        fitted = least_squares_references(counts, torch.cat([energies, torch.tensor([torch.nan]).double()]))
        assert fitted == pytest.approx([-3.0, -5.0])

    def test_single_composition_gives_the_smallest_solution(self):
        graphs = self.graphs()[:1] * 3
        energies = torch.cat([graph.energy for graph in graphs])
        fitted = torch.tensor(least_squares_references(composition(graphs, 2), energies))
        torch.testing.assert_close(fitted @ torch.tensor([2.0, 1.0]), torch.tensor(-11.0))
        torch.testing.assert_close(fitted, torch.tensor([2.0, 1.0]) * -11.0 / 5.0)

    def test_given(self):
        assert given_references({"Au": -2, "Cu": -1.5}, ELEMENTS) == [-1.5, -2.0]
        with pytest.raises(TDNError, match="no energy for Au; give one in eV for each of Cu Au"):
            given_references({"Cu": 1.0}, ELEMENTS)

    def test_energy_label_above_references(self):
        (graph, *_) = self.graphs()
        assert float(without_references(graph, [-3.0, -5.0]).energy) == pytest.approx(0.0)

    def test_scale_is_the_rms_force(self):
        counts, energies = torch.ones(1, 2).double(), torch.zeros(1).double()
        assert energy_scale(0.25, counts, energies, [0.0, 0.0]) == 0.5
        assert energy_scale(0.0, counts, energies, [0.0, 0.0]) == 1.0

    def test_scale_without_forces_is_the_spread_of_energies(self):
        graphs = self.graphs()
        counts, energies = composition(graphs, 2), torch.cat([graph.energy for graph in graphs])
        per_atom = torch.tensor([-11.0 / 3, -18.0 / 4, -12.0 / 4])
        assert energy_scale(None, counts, energies, [0.0, 0.0]) == pytest.approx(float(per_atom.std(correction=0)))
        assert energy_scale(None, counts, energies, [-3.0, -5.0]) == 1.0
