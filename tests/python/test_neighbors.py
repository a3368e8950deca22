"""Neighbor lists against explicit images: any cell, periodic in any directions, shorter than the cutoff."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tdn.data import neighbor_list
from tdn.data.neighbors import complete_cell, search_by_tree
from tdn.errors import TDNError

CUBE = 6.0 * np.eye(3)
TRICLINIC = np.array([[5.0, 0.0, 0.0], [2.4, 4.1, 0.0], [-1.3, 1.7, 4.6]])
SMALL = np.array([[2.1, 0.0, 0.0], [1.0, 1.9, 0.0], [0.2, -0.7, 2.3]])
PERIODICITIES = list(itertools.product([False, True], repeat=3))


def explicit_images(positions, cell, periodic, cutoff):
    """All pairs with all images that can matter, by plain loops over the images."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = cutoff + 2.0 * np.ptp(positions, axis=0).max() + 1.0
    ranges = [
        range(-n, n + 1) if p else (0,) for n, p in zip(np.ceil(reach / heights).astype(int), periodic, strict=True)
    ]
    pairs = []
    for shift in itertools.product(*ranges):
        vectors = positions[None] - positions[:, None] + np.array(shift) @ cell
        near = np.linalg.norm(vectors, axis=2) < cutoff
        if shift == (0, 0, 0):
            np.fill_diagonal(near, False)
        pairs += [(i, j, *vectors[i, j]) for i, j in zip(*np.nonzero(near), strict=True)]
    return rows(np.array(pairs).reshape(-1, 5))


def rows(edges):
    """Edges in an order that does not depend on how they were found."""
    return edges[np.lexsort(edges.round(6).T[::-1])]


def found_edges(positions, cell, periodic, cutoff):
    center, neighbor, vectors = neighbor_list(positions, cell, periodic, cutoff)
    assert (np.diff(center) >= 0).all()
    return rows(np.column_stack([center, neighbor, vectors]))


class TestNeighborList:
    @pytest.mark.parametrize("periodic", PERIODICITIES, ids=lambda p: "".join("pf"[not x] for x in p))
    @pytest.mark.parametrize(("cell", "cutoff"), [(CUBE, 4.0), (TRICLINIC, 3.5), (TRICLINIC, 7.5), (SMALL, 5.0)])
    def test_equals_explicit_images(self, cell, cutoff, periodic):
        positions = np.random.default_rng(1).uniform(0.0, 1.0, (5, 3)) @ cell
        expected = explicit_images(positions, cell, periodic, cutoff)
        np.testing.assert_allclose(found_edges(positions, cell, periodic, cutoff), expected, atol=1e-12)

    def test_atoms_outside_of_the_cell(self):
        positions = np.random.default_rng(2).uniform(-2.0, 3.0, (4, 3)) @ TRICLINIC
        expected = explicit_images(positions, TRICLINIC, (True, True, True), 4.0)
        np.testing.assert_allclose(found_edges(positions, TRICLINIC, True, 4.0), expected, atol=1e-11)

    def test_wrapping_an_atom_changes_nothing(self):
        positions = np.random.default_rng(3).uniform(0.0, 1.0, (4, 3)) @ SMALL
        moved = positions + np.array([[0, 0, 0], [1, -2, 0], [0, 0, 3], [-1, 1, 1]]) @ SMALL
        np.testing.assert_allclose(
            found_edges(moved, SMALL, True, 4.0), found_edges(positions, SMALL, True, 4.0), atol=1e-11
        )

    def test_one_atom_sees_its_own_images(self):
        edges = found_edges(np.zeros((1, 3)), 3.0 * np.eye(3), True, 3.1)
        assert len(edges) == 6
        assert not edges[:, :2].any()

    def test_every_pair_is_stored_in_both_directions(self):
        edges = found_edges(np.random.default_rng(4).uniform(0.0, 1.0, (3, 3)) @ SMALL, SMALL, True, 4.0)
        reverse = np.column_stack([edges[:, 1], edges[:, 0], -edges[:, 2:]])
        np.testing.assert_allclose(rows(reverse), edges, atol=1e-12)

    @pytest.mark.parametrize("periodic", [False, True])
    def test_no_atoms(self, periodic):
        center, neighbor, vectors = neighbor_list(np.zeros((0, 3)), CUBE, periodic, 4.0)
        assert center.shape == neighbor.shape == (0,)
        assert vectors.shape == (0, 3)
        assert (center.dtype, vectors.dtype) == (np.int64, np.float64)

    def test_single_atom_and_atoms_far_apart_have_no_edges(self):
        assert len(found_edges(np.zeros((1, 3)), np.zeros((3, 3)), False, 4.0)) == 0
        assert len(found_edges(np.array([[0.0, 0, 0], [50.0, 0, 0]]), np.zeros((3, 3)), False, 4.0)) == 0

    @pytest.mark.parametrize("length", [1e3, 3e4, 1e6, 1e8])
    @pytest.mark.parametrize("directions", PERIODICITIES[1:], ids=lambda p: "".join("xyz"[k] * p[k] for k in range(3)))
    @pytest.mark.parametrize("periodic", [(False,) * 3, (True,) * 3, (True, True, False)])
    def test_molecules_far_apart(self, length, directions, periodic):
        """Coordinates so large in some directions only ended the process in vesin."""
        rng = np.random.default_rng(6)
        cell = np.diag(np.where(directions, length, 8.0)) @ (np.eye(3) + np.tril(np.full((3, 3), 0.25), -1))
        molecule = rng.uniform(-1.5, 1.5, (4, 3))
        sites = np.array([[0.0, 0.0, 0.0], directions, directions]) * [[0.0], [0.3], [0.7]] @ cell
        expected = explicit_images(molecule, cell, periodic, 4.0)
        edges = found_edges((sites[:, None] + molecule).reshape(-1, 3), cell, periodic, 4.0)
        assert len(edges) == 3 * len(expected) > 0
        for k in range(3):
            own = edges[edges[:, 0] // 4 == k] - [4 * k, 4 * k, 0, 0, 0]
            np.testing.assert_allclose(rows(own), expected, atol=1e-13 * length + 1e-12)

    @pytest.mark.parametrize("periodic", PERIODICITIES, ids=lambda p: "".join("pf"[not x] for x in p))
    @pytest.mark.parametrize(("cell", "cutoff"), [(TRICLINIC, 3.5), (SMALL, 5.0)])
    def test_the_search_for_long_structures_finds_the_same(self, cell, cutoff, periodic):
        positions = np.random.default_rng(7).uniform(-1.0, 2.0, (5, 3)) @ cell
        periodic = np.array(periodic)
        box = complete_cell(cell, periodic)
        center, neighbor, vectors = search_by_tree(positions, box, periodic, cutoff)
        assert (np.diff(center) >= 0).all()
        found = rows(np.column_stack([center, neighbor, vectors]))
        np.testing.assert_allclose(found, found_edges(positions, cell, periodic, cutoff), atol=1e-12)

    def test_cell_vectors_of_other_directions_are_ignored(self):
        positions = np.random.default_rng(5).uniform(0.0, 1.0, (4, 3)) @ CUBE
        strange = CUBE.copy()
        strange[2] = strange[0]
        periodic = (True, True, False)
        expected = explicit_images(positions, CUBE, periodic, 5.0)
        np.testing.assert_allclose(found_edges(positions, strange, periodic, 5.0), expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("positions", "cell", "message"),
        [
            ([[0.0, 0.0, np.nan]], CUBE, "not a finite number; remove"),
            ([[0.0, 0.0, 0.0]], np.zeros((3, 3)), "is periodic .* its cell .*; give a cell or set pbc to false"),
            ([[0.0, 0.0, 0.0]], np.ones((3, 3)), "has no volume; give three"),
            ([[0.0, 0.0, 0.0]], np.diag([np.inf, 5.0, 5.0]), "not a finite number; give finite"),
            ([[0.0, 0.0, 0.0]], np.diag([np.nan, 5.0, 5.0]), "not a finite number; give finite"),
        ],
    )
    def test_refused(self, positions, cell, message):
        with pytest.raises(TDNError, match=message):
            neighbor_list(np.array(positions), cell, True, 4.0)
