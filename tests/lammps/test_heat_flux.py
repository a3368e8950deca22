"""The convention of per-atom virials: an edge's virial belongs to its neighbor, which makes the heat flux exact where
atom energies depend on the edges of their own atom only.

For a cluster, the potential part of the heat flux is J = sum_i r_i (F_i . v_i + dE_i/dt) (Fan et al., Phys. Rev. B 92,
094301); LAMMPS has it as the sum of the centroid virials times the velocities.
"""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from lammps_runner import run, setup, write_data
from make_archives import MessageModel, PairModel, label, write

CUTOFF = 3.0
STIFFNESS = [[1.0, 5.0], [2.0, 3.0]]  # k(center, neighbor): the two directions of a pair differ


def cluster() -> tuple[ase.Atoms, np.ndarray]:
    """Twelve atoms in a large box, and their velocities (angstrom/ps)."""
    rng = np.random.default_rng(4)
    points = 1.4 * np.stack(np.meshgrid(range(3), range(2), range(2), indexing="ij"), -1).reshape(-1, 3)
    atoms = ase.Atoms("OHOHHOHOOHOH", positions=points + 9 + 0.2 * rng.random(points.shape), cell=[20] * 3, pbc=True)
    return atoms, 5 * rng.normal(size=points.shape)


def one_layer(positions: np.ndarray, species: np.ndarray) -> np.ndarray:
    """E_i = sum_j 1/2 k_ij (r - 1.2)^2 (1 - (r/3)^2)^3."""
    r = np.linalg.norm(positions[None] - positions[:, None], axis=-1) + 100 * np.eye(len(positions))
    k = np.array(STIFFNESS)[species[:, None], species]
    return (0.5 * k * (r - 1.2) ** 2 * np.clip(1 - (r / CUTOFF) ** 2, 0, None) ** 3).sum(1)


def two_layers(positions: np.ndarray, species: np.ndarray) -> np.ndarray:
    """x = a; twice x_i += sum_j u_ij tanh(x_j); E_i = x_i^2 + e_i."""
    r = np.linalg.norm(positions[None] - positions[:, None], axis=-1) + 100 * np.eye(len(positions))
    k = np.array([[0.5, 0.8], [0.9, 0.4]])[species[:, None], species]
    u = k * np.clip(1 - (r / CUTOFF) ** 2, 0, None) ** 3
    x = np.array([0.3, -0.5])[species]
    for _ in range(2):
        x = x + u @ np.tanh(x)
    return x**2 + np.array([-1.0, -2.0])[species]


def exact_flux(energies, atoms: ase.Atoms, velocities: np.ndarray) -> np.ndarray:
    """Sum of r_i (F_i . v_i + dE_i/dt) by central differences, eV angstrom/ps."""
    species, x, h = np.array([0 if s == "H" else 1 for s in atoms.symbols]), atoms.positions, 1e-5
    rate = (energies(x + h * velocities, species) - energies(x - h * velocities, species)) / (2 * h)
    forces = np.zeros_like(x)
    for i, k in np.ndindex(*x.shape):
        d = np.zeros_like(x)
        d[i, k] = h
        forces[i, k] = -(energies(x + d, species).sum() - energies(x - d, species).sum()) / (2 * h)
    return (x * ((forces * velocities).sum(1) + rate)[:, None]).sum(0)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Closed-form archives of one and of two layers."""
    folder = tmp_path_factory.mktemp("flux")
    torch.set_default_dtype(torch.float64)
    try:
        one, two = PairModel(), MessageModel()
        one.stiffness.copy_(torch.tensor(STIFFNESS).flatten())
    finally:
        torch.set_default_dtype(torch.float32)
    return {
        "one": write(one, label("one", [1], "float64", {}), folder / "one.tdn.pt"),
        "two": write(two, label("two", [70, 70], "float64", {}), folder / "two.tdn.pt"),
    }


def lammps_flux(model: Path, n_ranks: int, folder: Path) -> np.ndarray:
    """The part of compute heat/flux with centroid virials that is not convection, eV angstrom/ps."""
    atoms, velocities = cluster()
    write_data(atoms, ["H", "O"], folder / "data.test")
    text = setup(atoms) + f"pair_style tdn device cpu\npair_coeff * * {model} H O\n"
    for k, v in enumerate(velocities, start=1):
        text += f"set atom {k} vx {v[0]:.17g} vy {v[1]:.17g} vz {v[2]:.17g}\n"
    text += "compute k all ke/atom\ncompute z all pe/atom\ncompute s all centroid/stress/atom NULL virial\n"
    text += "compute j all heat/flux k z s\nthermo_style custom step c_j[1]\nrun 0\n"
    text += 'print "flux = {}"\n'.format(" ".join(f"$(c_j[{k}]-c_j[{k + 3}]:%.17g)" for k in (1, 2, 3)))
    done = run(text, n_ranks, folder)
    assert done.returncode == 0, done.output
    return done.values("flux")


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_heat_flux_of_one_layer_is_exact(models, n_ranks: int, tmp_path: Path):
    expected = exact_flux(one_layer, *cluster())
    found = lammps_flux(models["one"], n_ranks, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_heat_flux_of_two_layers_is_not(models, tmp_path: Path):
    """What the manual says of message-passing models."""
    expected = exact_flux(two_layers, *cluster())
    found = lammps_flux(models["two"], 1, tmp_path)
    assert np.abs(found - expected).max() > 0.01 * np.abs(expected).max()


def test_heat_flux_of_two_layers_does_not_depend_on_the_ranks(models, tmp_path: Path):
    np.testing.assert_allclose(
        lammps_flux(models["two"], 4, tmp_path), lammps_flux(models["two"], 1, tmp_path), rtol=1e-9, atol=1e-9
    )
