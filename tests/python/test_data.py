"""Structures to graphs: labels, joining, files, references, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from tiny import crystals, labeled

from tdn.data import Structure, collate, graph_from_atoms, graph_from_structure
from tdn.data.dataset import read_frames
from tdn.errors import TDNError

ELEMENTS = ("Cu", "Au")
CUBE = 6.0 * np.eye(3)


class TestGraph:
    def test_species_volume_and_labels(self):
        (atoms,) = crystals(1)
        graph = graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)
        assert graph.species.tolist() == [1, 0, 0, 0]
        assert float(graph.volume) == pytest.approx(atoms.get_volume())
        assert float(graph.energy) == atoms.get_potential_energy()
        np.testing.assert_array_equal(graph.forces, atoms.get_forces())
        np.testing.assert_allclose(graph.stress[0], atoms.get_stress(voigt=False))
        assert graph.has_stress.tolist() == [True]
        assert {graph.vectors.dtype, graph.energy.dtype, graph.volume.dtype} == {torch.float64}

    def test_without_labels(self):
        graph = graph_from_atoms(Atoms("Cu"), ELEMENTS, 3.5)
        assert graph.energy is None
        assert graph.forces is None
        assert graph.has_stress is None

    @pytest.mark.parametrize("periodic", [False, True])
    def test_no_atoms(self, periodic):
        graph = graph_from_atoms(Atoms(pbc=periodic), ELEMENTS, 3.5)
        assert graph.species.shape == (0,)
        assert graph.vectors.shape == (0, 3)
        assert graph.volume.tolist() == [0.0]

    def test_volume_is_zero_unless_periodic_in_three_directions(self):
        slab = Atoms("Cu", cell=CUBE, pbc=(True, True, False))
        assert graph_from_atoms(slab, ELEMENTS, 3.5).volume.tolist() == [0.0]

    def test_stress_of_a_slab_is_not_a_label(self):
        (atoms,) = crystals(1)
        atoms.pbc = (True, True, False)
        atoms = labeled(atoms)
        assert graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True).has_stress.tolist() == [False]

    @pytest.mark.parametrize("missing", ["energy", "forces"])
    def test_missing_energy_or_forces_are_not_numbers(self, missing):
        given = {"energy": 1.0, "forces": np.zeros((1, 3))}
        del given[missing]
        atoms = Atoms("Cu")
        atoms.calc = SinglePointCalculator(atoms, **given)
        graph = graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)
        assert getattr(graph, missing).isnan().all()
        (other,) = given
        assert getattr(graph, other).isfinite().all()

    def test_to_keeps_integers(self):
        graph = graph_from_atoms(crystals(1)[0], ELEMENTS, 3.5, labels=True).to(dtype=torch.float32)
        assert graph.vectors.dtype == graph.energy.dtype == torch.float32
        assert graph.center.dtype == torch.int64
        assert graph.has_stress.dtype == torch.bool


class TestRefusedStructures:
    def test_element_that_the_model_does_not_know(self):
        with pytest.raises(TDNError, match="element Si is not in the model, which knows Cu Au; remove"):
            graph_from_atoms(Atoms("CuSi", [[0, 0, 0], [2, 0, 0]]), ELEMENTS, 3.5)

    def test_overlapping_atoms(self):
        with pytest.raises(TDNError, match=r"atoms 0 and 1 are 0\.1 angstrom apart, closer than 0\.2; check"):
            graph_from_atoms(Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]), ELEMENTS, 3.5)

    def test_identical_positions(self):
        with pytest.raises(TDNError, match="atoms 0 and 1 are 0 angstrom apart"):
            graph_from_atoms(Atoms("Cu2", [[1, 0, 0], [1, 0, 0]]), ELEMENTS, 3.5)

    def test_overlap_through_the_boundary(self):
        atoms = Atoms("Cu2", [[0.05, 0, 0], [5.95, 0, 0]], cell=CUBE, pbc=True)
        with pytest.raises(TDNError, match=r"0\.1 angstrom apart"):
            graph_from_atoms(atoms, ELEMENTS, 3.5)

    def test_no_labels_names_what_there_is(self):
        atoms = Atoms("Cu", info={"dft_energy": 1.0})
        with pytest.raises(TDNError, match="neither energy nor forces, only dft_energy; name them energy"):
            graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)

    @pytest.mark.parametrize("name", ["energy", "forces"])
    def test_label_that_is_not_a_number(self, name):
        given = {"energy": 1.0, "forces": np.zeros((1, 3))}
        given[name] = given[name] * np.nan
        atoms = Atoms("Cu")
        atoms.calc = SinglePointCalculator(atoms, **given)
        with pytest.raises(TDNError, match=f"label {name} holds a value that is not a finite number; remove"):
            graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)


class TestStructures:
    def test_graph_is_that_of_the_same_atoms(self):
        (atoms,) = crystals(1)
        first = graph_from_structure(Structure.from_atoms(atoms), ELEMENTS, 3.5)
        second = graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True)
        for name, value in vars(second).items():
            assert getattr(first, name) == value if name == "n_graphs" else torch.equal(getattr(first, name), value)
        assert graph_from_structure(Structure.from_atoms(atoms), ELEMENTS, 3.5, labels=False).energy is None

    def test_forces_on_held_atoms_are_no_labels(self):
        (atoms,) = crystals(1)
        atoms.set_constraint(FixAtoms([1, 3]))
        for graph in (
            graph_from_structure(Structure.from_atoms(atoms), ELEMENTS, 3.5),
            graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True),
        ):
            assert graph.forces.isfinite().all(dim=1).tolist() == [True, False, True, False]

    def test_complaint_starts_with_the_name(self):
        structure = Structure.from_atoms(crystals(1)[0], "structure 2 of a.xyz")
        with pytest.raises(TDNError, match=r"^structure 2 of a\.xyz: element Au is not in the model"):
            graph_from_structure(structure, ("Cu",), 3.5)
        bare = Structure.from_atoms(bulk("Cu"), "structure 3 of a.xyz")
        with pytest.raises(TDNError, match=r"^structure 3 of a\.xyz: .* neither energy nor forces; name them"):
            graph_from_structure(bare, ELEMENTS, 3.5)


class TestCollate:
    def test_edges_and_labels_are_those_of_the_parts(self):
        parts = [graph_from_atoms(atoms, ELEMENTS, 3.5, labels=True) for atoms in crystals(3)]
        joined = collate(parts)
        assert joined.n_graphs == 3
        assert (joined.center.diff() >= 0).all()
        assert (joined.batch[joined.center] == joined.batch[joined.neighbor]).all()
        for index, part in enumerate(parts):
            edges = joined.batch[joined.center] == index
            first = 4 * index
            torch.testing.assert_close(joined.center[edges] - first, part.center)
            torch.testing.assert_close(joined.neighbor[edges] - first, part.neighbor)
            torch.testing.assert_close(joined.vectors[edges], part.vectors)
            torch.testing.assert_close(joined.forces[joined.batch == index], part.forces)
            torch.testing.assert_close(joined.stress[index], part.stress[0])

    def test_batches_can_be_joined_again(self):
        parts = [graph_from_atoms(atoms, ELEMENTS, 3.5) for atoms in crystals(3)]
        nested, flat = collate([collate(parts[:2]), parts[2]]), collate(parts)
        assert nested.n_graphs == 3
        for name in ("center", "neighbor", "batch", "vectors", "volume"):
            assert torch.equal(getattr(nested, name), getattr(flat, name))

    def test_empty_structure_keeps_its_place(self):
        parts = [graph_from_atoms(atoms, ELEMENTS, 3.5) for atoms in (Atoms("Cu"), Atoms(), Atoms("Au"))]
        joined = collate(parts)
        assert joined.n_graphs == 3
        assert joined.batch.tolist() == [0, 2]

    def test_a_field_that_one_part_lacks_is_left_out(self):
        with_labels = graph_from_atoms(crystals(1)[0], ELEMENTS, 3.5, labels=True)
        without = graph_from_atoms(Atoms("Cu"), ELEMENTS, 3.5)
        assert collate([with_labels, without]).energy is None


class TestFiles:
    def test_missing_file(self, tmp_path):
        with pytest.raises(TDNError, match=r"nothing\.xyz' does not exist; correct the path"):
            read_frames(tmp_path / "nothing.xyz")

    def test_file_that_ase_cannot_read(self, tmp_path):
        (tmp_path / "a.traj").write_text("no number here\n")
        with pytest.raises(TDNError, match=r"a\.traj' cannot be read by ASE: .*; write it as extended XYZ"):
            read_frames(tmp_path / "a.traj")

    @pytest.mark.parametrize(("text", "shown"), [("first\nsecond", "first"), ("", "ValueError")])
    def test_only_the_first_line_of_a_complaint_of_ase(self, tmp_path, monkeypatch, text, shown):
        def broken(*_, **__):
            raise ValueError(text)

        monkeypatch.setattr("ase.io.read", broken)
        (tmp_path / "a.traj").write_text("1\n")
        with pytest.raises(TDNError, match=f"by ASE: {shown}; write it as extended XYZ"):
            read_frames(tmp_path / "a.traj")

    def test_blank_lines_and_everything_beside_the_labels(self, tmp_path):
        frame = "1\nenergy=1 note=hello\nCu 0 0 0\n"
        (tmp_path / "a.xyz").write_text("\n" + frame + "\n \n" + frame + "\n")
        assert [atoms.info for atoms in read_frames(tmp_path / "a.xyz")] == 2 * [{"note": "hello"}]

    def test_file_without_structures(self, tmp_path):
        (tmp_path / "a.xyz").write_text("")
        with pytest.raises(TDNError, match=r"a\.xyz'"):
            read_frames(tmp_path / "a.xyz")
