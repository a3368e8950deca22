"""The small data sets of ``examples/``: they are what their scripts say, in the labels and in the structures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from tdn.data.source import open_source

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The molecules, indexed elsewhere."""
    folder = str(tmp_path_factory.mktemp("index"))
    return open_source({"path": str(EXAMPLES / "pubchemqcr" / "small.lmdb"), "index_folder": folder})


class TestMolecules:
    def test_every_trajectory_goes_downhill_to_a_minimum(self, source):
        groups = source.get_groups()
        assert len(set(groups)) == 36
        for group in set(groups):
            steps = [source[index] for index in np.flatnonzero(groups == group)]
            assert steps[-1].energy < steps[0].energy - 0.01
            assert np.linalg.norm(steps[-1].forces, axis=1).max() <= 0.02
            assert np.abs([step.forces.sum(axis=0) for step in steps]).max() < 2e-3

    def test_forces_are_the_slope_of_the_energy(self, source):
        """Between steps that are close together, by the mean of the forces: right to third order of the step."""
        groups, tested = source.get_groups(), 0
        for index in np.flatnonzero(groups[1:] == groups[:-1]).tolist():
            one, other = source[index], source[index + 1]
            move = other.positions - one.positions
            work = float(((one.forces + other.forces) / 2 * move).sum())
            if np.abs(move).max() < 0.01 and abs(work) > 5e-4:
                assert one.energy - other.energy == pytest.approx(work, rel=0.05)
                tested += 1
        assert tested > 20

    def test_what_it_holds(self, source):
        assert source.elements() == ("H", "C", "N", "O")
        assert source.left_out == {}
        assert {len(structure) for structure in source} == {3, 4, 5, 6, 7, 8}


class TestSlabs:
    @pytest.mark.parametrize(("name", "count"), [("s2ef_train.aselmdb", 24), ("s2ef_test.lmdb", 8)])
    def test_labels_are_those_of_the_potential(self, name, count):
        source = open_source(EXAMPLES / "oc20" / name)
        groups = source.get_groups()
        assert len(set(groups)) == count
        for index in range(0, len(source), 10):
            structure = source[index]
            atoms = structure.to_atoms()
            atoms.calc = EMT()
            assert structure.energy == pytest.approx(atoms.get_potential_energy(), abs=2e-5)
            np.testing.assert_allclose(structure.forces, atoms.get_forces(apply_constraint=False), atol=2e-5)
            assert structure.tags[structure.fixed].tolist() == [0] * 4
            assert sorted(structure.tags.tolist()) == [0] * 8 + [1] * 4 + [2]

    @pytest.mark.parametrize(("part", "ending"), [("train", "aselmdb"), ("test", "lmdb")])
    def test_relaxed_energies_end_the_relaxations(self, part, ending):
        steps = open_source(EXAMPLES / "oc20" / f"s2ef_{part}.{ending}")
        starts = open_source({"path": str(EXAMPLES / "oc20" / f"is2re_{part}.{ending}"), "task": "is2re"})
        last = {round(steps[index].energy, 6) for index in range(len(steps))}
        first = [steps[index].positions for index in range(len(steps))]
        for start in starts:
            assert round(start.energy, 6) in last
            assert start.forces is None
            assert min(np.abs(start.positions - positions).max() for positions in first) < 1e-5
