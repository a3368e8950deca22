"""Physical structures used by tests, each with the reason it is there. All are made here, none is read."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from scipy.spatial.transform import Rotation


def rattled(atoms: Atoms, amplitude: float = 0.1, seed: int = 0) -> Atoms:
    """The same structure with every atom displaced at random (angstrom), so that no force vanishes by symmetry."""
    atoms = atoms.copy()
    atoms.positions += amplitude * np.random.default_rng(seed).normal(size=(len(atoms), 3))
    return atoms


def water(n_side: int = 4, seed: int = 0) -> Atoms:
    """n_side^3 molecules at the density of liquid water: a molecular liquid with two elements.

    Each molecule is turned so that it stays away from those before it: overlapping molecules are far outside of what a
    trained model knows.
    """
    rng = np.random.default_rng(seed)
    spacing = 12.444 / 4
    cell = n_side * spacing
    single = molecule("H2O").positions - molecule("H2O").get_center_of_mass()
    symbols = molecule("H2O").get_chemical_symbols()
    atoms = Atoms(cell=[cell] * 3, pbc=True)
    for index in np.ndindex(n_side, n_side, n_side):
        center = (np.array(index) + 0.5) * spacing
        trials = [single @ Rotation.random(rng=rng).as_matrix() + center for _ in range(60)]
        atoms += Atoms(symbols, max(trials, key=lambda trial: closest(trial, atoms.positions, cell)))
    return rattled(atoms, 0.03, seed)


def closest(trial: np.ndarray, others: np.ndarray, cell: float) -> float:
    """Shortest distance between two sets of positions (n, 3) in a cubic periodic cell."""
    if len(others) == 0:
        return cell
    difference = trial[:, None] - others
    difference -= cell * np.round(difference / cell)
    return float(np.linalg.norm(difference, axis=-1).min())


def silicon_triclinic() -> Atoms:
    """64 silicon atoms in a sheared cell: all six components of the box, oblique neighbor search."""
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(2)
    strain = np.array([[1.02, 0.0, 0.0], [0.08, 0.97, 0.0], [-0.06, 0.11, 1.01]])
    atoms.set_cell(atoms.cell.array @ strain.T @ np.eye(3), scale_atoms=True)
    return rattled(lower_triangular(atoms), 0.1)


def lower_triangular(atoms: Atoms) -> Atoms:
    """The same crystal turned so that a is along x and b in the xy plane, as LAMMPS wants it."""
    turned = atoms.copy()
    _, r = np.linalg.qr(atoms.cell.array.T)
    signs = np.diag(np.sign(np.diag(r)))
    turned.set_cell((signs @ r).T, scale_atoms=True)
    return turned


def small_cell() -> Atoms:
    """Two silicon atoms in a cell shorter than the cutoff: an atom sees its own images."""
    return rattled(lower_triangular(bulk("Si", "diamond", a=5.43)), 0.05)


def turned_silicon() -> Atoms:
    """The sheared crystal in a frame that is not LAMMPS's: results have to be turned back."""
    atoms = silicon_triclinic()
    atoms.set_cell(atoms.cell.array @ Rotation.from_rotvec([0.4, -0.7, 1.1]).as_matrix().T, scale_atoms=True)
    return atoms


def slab() -> Atoms:
    """A thin slab at the bottom of a tall box: ranks above it have no atoms."""
    atoms = fcc111("Cu", (4, 4, 2), a=3.6, orthogonal=True)
    atoms.cell[2, 2] = 60.0
    atoms.pbc = (True, True, True)
    atoms.positions[:, 2] += 2.0 - atoms.positions[:, 2].min()
    return rattled(atoms, 0.08)


def open_slab() -> Atoms:
    """A slab in an oblique cell, without a cell vector in the direction that is not periodic."""
    atoms = fcc111("Cu", (4, 4, 2), a=3.6)
    atoms.pbc = (True, True, False)
    return rattled(atoms, 0.08)


def isolated_atoms() -> Atoms:
    """Three atoms out of each other's reach: reference energies, no force, ranks without edges."""
    return Atoms("OHO", [[2.0, 2.0, 2.0], [12.0, 12.0, 2.0], [2.0, 12.0, 14.0]], cell=[20.0] * 3, pbc=True)


def methane() -> Atoms:
    """Tetrahedral center: vanishing l = 1 features."""
    return molecule("CH4")


def carbon_dioxide() -> Atoms:
    """Linear and centrosymmetric about the first atom."""
    return Atoms("COO", [[0, 0, 0], [1.16, 0, 0], [-1.16, 0, 0]])


def octahedron() -> Atoms:
    """SF6: vanishing l = 1 and l = 2 features at the center."""
    d = 1.56
    return Atoms("SF6", [[0, 0, 0], [d, 0, 0], [-d, 0, 0], [0, d, 0], [0, -d, 0], [0, 0, d], [0, 0, -d]])


def fcc() -> Atoms:
    """32 copper atoms on fcc sites, periodic: every site is a center of inversion."""
    return bulk("Cu", "fcc", a=3.61, cubic=True).repeat(2)


def ethanol() -> Atoms:
    """A small molecule with three elements and no symmetry."""
    return rattled(molecule("CH3CH2OH"), 0.05)
