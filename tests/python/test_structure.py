"""The structure that every source gives: from and to ASE, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from molecules import assert_same, crystal, molecule

from tdn.data.structure import Structure
from tdn.errors import TDNError

STRESS = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])


class TestAse:
    @pytest.mark.parametrize("make", [molecule, crystal])
    def test_there_and_back(self, make):
        assert_same(make(), Structure.from_atoms(make().to_atoms()))

    def test_forces_of_fixed_atoms_are_not_set_to_zero(self):
        structure = crystal()
        assert np.abs(Structure.from_atoms(structure.to_atoms()).forces[0]).min() > 0

    def test_stress_in_both_forms(self):
        atoms = crystal().to_atoms()
        for stress in (STRESS, np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])):
            atoms.calc = SinglePointCalculator(atoms, energy=0.0, stress=stress)
            found = Structure.from_atoms(atoms)
            np.testing.assert_array_equal(found.stress, STRESS)
            np.testing.assert_array_equal(found.to_atoms().get_stress(voigt=False), STRESS)

    def test_stress_of_a_slab_means_nothing(self):
        atoms = crystal().to_atoms()
        atoms.pbc = (True, True, False)
        atoms.calc = SinglePointCalculator(atoms, stress=STRESS)
        assert Structure.from_atoms(atoms).stress is None

    def test_without_labels(self):
        found = Structure.from_atoms(Atoms("OH2", np.eye(3)))
        assert [found.energy, found.forces, found.stress, found.fixed, found.tags] == [None] * 5
        assert found.to_atoms().calc is None

    def test_atoms_held_in_one_direction_are_not_fixed(self):
        atoms = Atoms(
            "Cu3", np.eye(3), constraint=[FixAtoms([0]), FixCartesian(1, (True, False, False)), FixCartesian(2)]
        )
        assert Structure.from_atoms(atoms).fixed.tolist() == [True, False, True]

    def test_the_structure_keeps_its_numbers_when_the_atoms_change(self):
        atoms = molecule().to_atoms()
        found = Structure.from_atoms(atoms)
        atoms.positions += 1.0
        np.testing.assert_array_equal(found.positions, molecule().positions)


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"numbers": np.zeros(0, int)}, "^this: it has no atoms; repair or remove"),
            ({"numbers": np.array([8, 1, 0])}, "atomic number 0, which is not an element"),
            ({"numbers": np.array([8, 1, 119])}, "atomic number 119, which is not an element"),
            ({"positions": np.zeros((2, 3))}, r"its positions have shape \(2, 3\), not \(3, 3\)"),
            ({"forces": np.zeros((3, 2))}, r"its forces have shape \(3, 2\), not \(3, 3\)"),
            ({"fixed": np.zeros(2, bool)}, r"its fixed have shape \(2,\), not \(3,\)"),
            ({"positions": np.full((3, 3), np.nan)}, "its positions hold a value that is not a finite number"),
            ({"energy": float("inf")}, "its energy hold a value that is not a finite number"),
            ({"energy": -1e16}, r"its energy hold 1e\+16, which is beyond 1e\+15; repair"),
            ({"forces": np.full((3, 3), 1e300)}, r"its forces hold 1e\+300, which is beyond 1e\+15; repair"),
        ],
    )
    def test_with_name_and_reason(self, changes, message):
        with pytest.raises(TDNError, match=message):
            replace(molecule(), name="this", **changes).checked()

    def test_what_ase_read(self):
        atoms = Atoms("Cu")
        atoms.calc = SinglePointCalculator(atoms, forces=np.full((1, 3), np.nan))
        with pytest.raises(TDNError, match=r"^structure 3 of a\.xyz: its forces hold a value that is not a finite"):
            Structure.from_atoms(atoms, "structure 3 of a.xyz")
