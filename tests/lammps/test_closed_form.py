"""LAMMPS against closed formulas with explicit periodic images: energies, forces, virials on 1, 2 and 4 ranks."""

from itertools import product
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from lammps_runner import SinglePoint, run, setup, single_point

CUTOFF = 3.0
ELEMENTS = ["H", "O"]


def images_within_cutoff(atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centers, neighbors (n_edges) and shifts (n_edges, 3) in cell vectors, by trying every image."""
    heights = 1 / np.linalg.norm(np.linalg.pinv(atoms.cell.array), axis=0) if atoms.pbc.any() else np.ones(3)
    reach = [int(np.ceil(CUTOFF / h)) + 1 if p else 0 for h, p in zip(heights, atoms.pbc, strict=True)]
    edges = []
    for shift in product(*(range(-n, n + 1) for n in reach)):
        offset = np.array(shift) @ atoms.cell.array
        for i, j in product(range(len(atoms)), repeat=2):
            if (i != j or any(shift)) and np.linalg.norm(atoms.positions[j] + offset - atoms.positions[i]) < CUTOFF:
                edges.append((i, j, *shift))
    table = np.array(edges, dtype=int).reshape(-1, 5)
    return table[:, 0], table[:, 1], table[:, 2:]


def pair_energies(r, i, j, species):
    """E_i = sum_j 1/2 k (r_ij - 1.2)^2 (1 - (r_ij/3)^2)^3."""
    k = torch.tensor([1.0, 2.0, 2.0, 3.0])[2 * species[i] + species[j]]
    d = r.norm(dim=1)
    return torch.zeros(len(species)).index_add(0, i, 0.5 * k * (d - 1.2) ** 2 * (1 - (d / 3) ** 2) ** 3)


def message_energies(r, i, j, species):
    """x = a; twice x_i += sum_j u_ij tanh(x_j); E_i = x_i^2 + e with u = k (1 - (r/3)^2)^3."""
    u = torch.tensor([0.5, 0.8, 0.9, 0.4])[2 * species[i] + species[j]] * (1 - (r**2).sum(1) / 9) ** 3
    x = torch.tensor([0.3, -0.5])[species]
    for _ in range(2):
        x = x.index_add(0, i, u * torch.tanh(x)[j])
    return x**2 + torch.tensor([-1.0, -2.0])[species]


FORMULAS = {"pair": pair_energies, "message": message_energies}


@pytest.fixture(autouse=True)
def float64_formulas():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def expected(name: str, atoms: ase.Atoms) -> dict[str, np.ndarray]:
    """Formula, its forces -dE/dr and its virial -dE/d(strain)."""
    i, j, shifts = (torch.tensor(a) for a in images_within_cutoff(atoms))
    species = torch.tensor([ELEMENTS.index(s) for s in atoms.get_chemical_symbols()], dtype=torch.long)
    x = torch.tensor(atoms.positions, requires_grad=True)
    strain = torch.zeros(3, 3, requires_grad=True)
    cell = torch.tensor(atoms.cell.array)
    r = (x[j] - x[i] + shifts.to(x.dtype) @ cell) @ (torch.eye(3) + strain)
    energies = FORMULAS[name](r, i, j, species)
    gradient, by_strain = torch.autograd.grad(energies.sum() + 0 * (x.sum() + strain.sum()), [x, strain])
    w = -by_strain.numpy()
    virial = np.array([w[0, 0], w[1, 1], w[2, 2], w[0, 1], w[0, 2], w[1, 2]])
    return {"atom_energies": energies.detach().numpy(), "forces": -gradient.numpy(), "virial": virial}


def random_atoms(n_atoms: int, cell: object, pbc: object = True, seed: int = 0) -> ase.Atoms:
    """Atoms at least 0.8 angstrom apart, images included."""
    rng = np.random.default_rng(seed)
    atoms = ase.Atoms(cell=cell, pbc=pbc)
    while len(atoms) < n_atoms:
        trial = atoms + ase.Atoms(rng.choice(ELEMENTS), positions=rng.random((1, 3)) @ np.asarray(atoms.cell.array))
        if len(trial) == 1 or trial.get_distances(-1, range(len(trial) - 1), mic=bool(np.any(pbc))).min() > 0.8:
            atoms = trial
    return atoms


def slab() -> ase.Atoms:
    """Two thin layers of atoms: with 4 ranks in z, ranks in the vacuum have nothing."""
    atoms = random_atoms(16, [6.0, 6.5, 3.0], [True, True, False], seed=3)
    atoms.cell[2] = [0, 0, 40.0]
    atoms.positions[:, 2] += 0.5
    return atoms


STRUCTURES = {
    "bulk": (lambda: random_atoms(40, [8.0, 7.0, 9.0]), ""),
    "triclinic": (lambda: random_atoms(30, [[8, 0, 0], [2.5, 7, 0], [-1.5, 2, 8]], seed=1), ""),
    "cell_below_cutoff": (lambda: random_atoms(3, [2.5, 2.2, 2.8], seed=2), ""),
    "slab_with_empty_ranks": (slab, "processors 1 1 *"),
    "tiled": (lambda: random_atoms(40, [8.0, 7.0, 9.0]), "comm_style tiled"),
    "molecule": (lambda: ase.Atoms("OH2", positions=[[0, 0, 0], [0.9, 0.1, 0], [-0.2, 0.9, 0.3]]), ""),
    "one_atom": (lambda: ase.Atoms("O", positions=[[0.0, 0, 0]]), ""),
    "two_atoms_apart": (lambda: ase.Atoms("OH", positions=[[0.0, 0, 0], [12.0, 0, 0]]), "processors * 1 1"),
}


def assert_equal(got: SinglePoint, want: dict[str, np.ndarray], energy_error: float, force_error: float) -> None:
    np.testing.assert_allclose(got.atom_energies, want["atom_energies"], rtol=0, atol=energy_error)
    np.testing.assert_allclose(got.energy, want["atom_energies"].sum(), rtol=0, atol=energy_error * len(got.forces))
    np.testing.assert_allclose(got.forces, want["forces"], rtol=0, atol=force_error)
    scale = max(1.0, np.abs(want["virial"]).max())
    np.testing.assert_allclose(got.virial, want["virial"], rtol=0, atol=force_error * scale)
    np.testing.assert_allclose(got.atom_virials, want["virial"], rtol=0, atol=force_error * scale)
    order = [0, 1, 2, 3, 4, 5, 3, 4, 5]
    np.testing.assert_allclose(got.centroid_virials, want["virial"][order], rtol=0, atol=force_error * scale)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_float64(archives, structure: str, n_ranks: int, tmp_path: Path):
    make, commands = STRUCTURES[structure]
    atoms = make()
    got = single_point(atoms, archives["message", "float64"], ELEMENTS, tmp_path, n_ranks, commands=commands)
    assert_equal(got, expected("message", atoms), 1e-10, 1e-9)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_float32(archives, n_ranks: int, tmp_path: Path):
    atoms = random_atoms(40, [8.0, 7.0, 9.0])
    got = single_point(atoms, archives["message", "float32"], ELEMENTS, tmp_path, n_ranks)
    assert_equal(got, expected("message", atoms), 1e-5, 5e-5)
    assert np.abs(got.forces - expected("message", atoms)["forces"]).max() > 1e-9  # single precision was used


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_model_without_exchange(archives, n_ranks: int, tmp_path: Path):
    atoms = random_atoms(40, [8.0, 7.0, 9.0])
    got = single_point(atoms, archives["pair", "float64"], ELEMENTS, tmp_path, n_ranks)
    assert_equal(got, expected("pair", atoms), 1e-10, 1e-9)


def test_precision_keyword_converts_the_model(archives, tmp_path: Path):
    atoms = random_atoms(20, [8.0, 7.0, 9.0])
    model = archives["message", "float64"]
    got = single_point(atoms, model, ELEMENTS, tmp_path, style="tdn device cpu precision float32")
    error = np.abs(got.forces - expected("message", atoms)["forces"]).max()
    assert 1e-9 < error < 5e-5


def test_types_in_another_order(archives, tmp_path: Path):
    atoms = random_atoms(20, [8.0, 7.0, 9.0])
    got = single_point(atoms, archives["message", "float64"], ["O", "H"], tmp_path)
    assert_equal(got, expected("message", atoms), 1e-10, 1e-9)


def test_units_real_equal_metal(archives, tmp_path: Path):
    atoms = random_atoms(20, [8.0, 7.0, 9.0])
    got = single_point(atoms, archives["message", "float64"], ELEMENTS, tmp_path, 2, units="real")
    # LAMMPS's own pressure factors of the two unit styles agree to seven digits only
    want = expected("message", atoms)
    np.testing.assert_allclose(got.forces, want["forces"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.energy, want["atom_energies"].sum(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.virial, want["virial"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_no_atoms(archives, n_ranks: int, tmp_path: Path):
    atoms = ase.Atoms(cell=[10, 10, 10], pbc=True)
    got = single_point(atoms, archives["message", "float64"], ELEMENTS, tmp_path, n_ranks)
    assert got.energy == 0


def test_forces_by_central_differences(archives, tmp_path: Path):
    """Through LAMMPS on 2 ranks: finds a wrong adjoint of the exchange at once."""
    atoms = random_atoms(20, [6.0, 5.5, 5.0], seed=5)
    forces = single_point(atoms, archives["message", "float64"], ELEMENTS, tmp_path, 2).forces
    step = 1e-4
    moves = "".join(
        f'displace_atoms one move {d[0]} {d[1]} {d[2]} units box\nrun 0 post no\nprint "e = $(pe:%.17g)"\n'
        for d in (step * np.array([[1, 0, 0], [-2, 0, 0], [1, 1, 0], [0, -2, 0], [0, 1, 1], [0, 0, -2], [0, 0, 1]]))
    )
    text = setup(atoms) + f"pair_style tdn device cpu\npair_coeff * * {archives['message', 'float64']} H O\n"
    for atom in (3, 11, 19):
        done = run(text + f"group one id {atom + 1}\n" + moves, 2, tmp_path)
        assert done.returncode == 0, done.output
        e = [float(line.split("=")[1]) for line in done.output.splitlines() if line.startswith("e = ")]
        by_difference = [(e[k + 1] - e[k]) / (2 * step) for k in (0, 2, 4)]
        np.testing.assert_allclose(forces[atom], by_difference, rtol=0, atol=1e-6)


def test_direct_forces(archives, tmp_path: Path):
    """F_i = x_i sum_j x_j u_ij r_ij with x after two layers."""
    atoms = random_atoms(20, [8.0, 7.0, 9.0])
    style = "tdn device cpu forces direct"
    got = single_point(atoms, archives["message", "float64"], ELEMENTS, tmp_path, 2, style=style)
    i, j, shifts = (torch.tensor(a) for a in images_within_cutoff(atoms))
    species = torch.tensor([ELEMENTS.index(s) for s in atoms.get_chemical_symbols()])
    x = torch.tensor(atoms.positions)
    r = x[j] - x[i] + shifts.to(x.dtype) @ torch.tensor(atoms.cell.array)
    u = torch.tensor([0.5, 0.8, 0.9, 0.4])[2 * species[i] + species[j]] * (1 - (r**2).sum(1) / 9) ** 3
    x = torch.tensor([0.3, -0.5])[species]
    for _ in range(2):
        x = x.index_add(0, i, u * torch.tanh(x)[j])
    forces = x[:, None] * torch.zeros(len(x), 3).index_add(0, i, (x[j] * u)[:, None] * r)
    np.testing.assert_allclose(got.forces, forces.numpy(), rtol=0, atol=1e-9)
    assert "total energy is not conserved" in got.run.output
    assert "direct forces have no virial" in got.run.output


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_hybrid_overlay_adds_to_another_style(archives, n_ranks: int, tmp_path: Path):
    atoms = random_atoms(20, [8.0, 7.0, 9.0])
    model = archives["message", "float64"]
    lines = f"pair_style hybrid/overlay {{}}\npair_coeff * * tdn {model} H O\n{{}}"
    lj = "pair_coeff * * lj/cut 0.01 1.0\n"
    both = single_point(atoms, model, ELEMENTS, tmp_path, n_ranks, pair=lines.format("tdn device cpu lj/cut 2.5", lj))
    only_lj = single_point(
        atoms, model, ELEMENTS, tmp_path, n_ranks, pair="pair_style lj/cut 2.5\npair_coeff * * 0.01 1.0\n"
    )
    want = expected("message", atoms)
    np.testing.assert_allclose(both.forces - only_lj.forces, want["forces"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(both.atom_energies - only_lj.atom_energies, want["atom_energies"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(both.virial - only_lj.virial, want["virial"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_hybrid_null_types_are_invisible_to_the_model(archives, n_ranks: int, tmp_path: Path):
    atoms = random_atoms(30, [8.0, 7.0, 9.0])
    model = archives["message", "float64"]
    pair = (
        f"pair_style hybrid/overlay tdn device cpu lj/cut 2.5\npair_coeff * * tdn {model} NULL O\n"
        "pair_coeff 1 * lj/cut 0.0 1.0\n"
    )
    got = single_point(atoms, model, ELEMENTS, tmp_path, n_ranks, pair=pair)
    oxygen = atoms.symbols == "O"
    want = expected("message", atoms[oxygen])
    np.testing.assert_allclose(got.forces[oxygen], want["forces"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.forces[~oxygen], 0, atol=1e-12)
    np.testing.assert_allclose(got.atom_energies[oxygen], want["atom_energies"], rtol=0, atol=1e-10)
