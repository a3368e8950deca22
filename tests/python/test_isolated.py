"""Structures of one atom: isolated or not, and energies that disagree."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from tiny import changed, crystals, isolated, labeled, settings, start, write

from tdn.cli import main
from tdn.data import graph_from_structure
from tdn.data.structure import Structure
from tdn.errors import TDNError
from tdn.statistics.isolated import nearest_image, single_atom

CUTOFF = settings()["model"]["cutoff"]


def shifted(atoms: Atoms, energy: float) -> Atoms:
    """The same with another energy."""
    atoms.calc.results["energy"] += energy
    return atoms


def in_cell(symbol: str, lengths, pbc=True) -> Atoms:
    """One atom in a box, with the labels of EMT."""
    return labeled(Atoms(symbol, cell=lengths, pbc=pbc), ("energy", "forces"))


class TestImages:
    @pytest.mark.parametrize(
        ("cell", "pbc", "expected"),
        [
            ([5.0, 6.0, 7.0], True, 5.0),
            ([5.0, 6.0, 7.0], [False, True, True], 6.0),
            ([5.0, 6.0, 7.0], False, np.inf),
            ([[10, 0, 0], [9, 1, 0], [0, 0, 8]], True, 2**0.5),  # shorter than every cell vector
        ],
    )
    def test_nearest(self, cell, pbc, expected):
        structure = Structure.from_atoms(Atoms("Cu", cell=cell, pbc=pbc))
        assert nearest_image(structure) == pytest.approx(expected)

    @pytest.mark.parametrize("length", [3.4, 3.5, 3.6])
    @pytest.mark.parametrize("pbc", [True, (True, False, False), False])
    def test_isolated_as_the_graph_has_it(self, length, pbc):
        structure = Structure.from_atoms(Atoms("Cu", cell=[length, 9.0, 9.0], pbc=pbc))
        edges = len(graph_from_structure(structure, ("Cu",), CUTOFF, labels=False).center)
        assert single_atom(structure).is_isolated(CUTOFF) == (edges == 0)


class TestTraining:
    def test_two_energies_of_one_element_are_refused(self, tmp_path):
        frames = [isolated("Cu"), *crystals(6), isolated("Au"), shifted(isolated("Cu"), 0.1)]
        write(tmp_path / "train.xyz", frames)
        with pytest.raises(
            TDNError,
            match=r"structure 0 of train\.xyz and structure 8 of train\.xyz are both an isolated atom of Cu but have "
            r"the energies .* and .* eV; keep the right one",
        ):
            start(tmp_path, settings())
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("section", [{"train": ["train.xyz", "atoms.xyz"]}, {"valid": "atoms.xyz"}])
    def test_in_two_files(self, tmp_path, section):
        write(tmp_path / "train.xyz", [*crystals(6), isolated("Cu")])
        write(tmp_path / "atoms.xyz", [*crystals(2), shifted(in_cell("Cu", [9.0] * 3), -1e-3)])
        with pytest.raises(TDNError, match=r"structure 6 of train\.xyz and structure 2 of atoms\.xyz are both"):
            start(tmp_path, changed(settings(), "data", **section))

    def test_the_same_energy_but_for_rounding(self, tmp_path):
        frames = [*crystals(6), isolated("Cu"), shifted(isolated("Cu"), 1e-7), in_cell("Cu", [9.0] * 3), isolated("Au")]
        write(tmp_path / "train.xyz", frames)
        lines = start(tmp_path, settings(max_epochs=1))
        assert any("reference energies from isolated atoms" in line for line in lines)
        assert not any("crystals, not isolated" in line for line in lines)

    def test_atom_with_images_is_a_crystal_and_this_is_said(self, tmp_path):
        dense = [labeled(bulk("Cu", "fcc", a=3.6)), in_cell("Au", [9, 9, 3.2])]
        write(tmp_path / "train.xyz", [*crystals(6), isolated("Cu"), isolated("Au"), *dense])
        lines = start(tmp_path, settings(max_epochs=1))
        (note,) = (line for line in lines if "crystals, not isolated" in line)
        assert note == (
            "Note: 2 structures of one atom (Cu Au) are crystals, not isolated atoms: images are within the cutoff of "
            "3.5 angstrom (2.55 in structure 8 of train.xyz)."
        )
        assert any("6 training and 2 validation structures" in line for line in lines)


def test_data_says_it(tmp_path, capsys):
    frames = [isolated("Cu"), *crystals(2), shifted(isolated("Cu"), 0.1), labeled(bulk("Cu", "fcc", a=3.6))]
    write(tmp_path / "a.xyz", frames)
    assert main(["data", str(tmp_path / "a.xyz")]) == 0
    out = capsys.readouterr().out
    assert "Note: structure 0 of a.xyz and structure 3 of a.xyz are both an isolated atom of Cu but have" in out
    assert "Note: 1 structures of one atom (Cu) are crystals, not isolated atoms" in out


def test_shared_fault(shared_data, tmp_path):
    """The little file that showed this fault."""
    path = shared_data.parent / "faults" / "isolated_twice" / "iso_twice.xyz"
    if not path.is_file():
        pytest.skip("the little faulty files are not beside this checkout (../shared/faults)")
    with pytest.raises(TDNError, match=r"of iso_twice\.xyz are both an isolated atom of Si but have the energies -"):
        start(tmp_path, changed(settings(), "data", train=str(path)))
