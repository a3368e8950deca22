"""A model with a pair term through LAMMPS, and the term against LAMMPS's own pair style of that name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structures
import torch
from ase import Atoms
from ase.data import atomic_numbers
from lammps_runner import Run, run, setup, single_point, write_data
from models import elements_of, graph_of, random_model
from parity import assert_same
from tolerances import LAMMPS

from tdn.deployment import write_archive
from tdn.model import TDN
from tdn.model.pair_term import ENVELOPE_POWER, ZBL
from tdn.model.radial import polynomial_envelope

ELEMENTS = ("H", "O", "U")


def dense_water() -> Atoms:
    """Bonds far shorter than the covalent radii, some across subdomains and periodic boundaries."""
    atoms = structures.water(2)
    atoms.set_cell(0.8 * atoms.cell, scale_atoms=True)
    return atoms


@pytest.fixture(scope="module")
def model() -> TDN:
    return random_model(elements_of(dense_water()), pair_term="zbl")


@pytest.fixture(scope="module")
def archives(model, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zbl")
    paths = {dtype: folder / f"{dtype}.tdn.pt" for dtype in ("float32", "float64")}
    for dtype, path in paths.items():
        write_archive(model, path, getattr(torch, dtype))
    return paths


@pytest.mark.parametrize("n_ranks", (1, 2, 4))
@pytest.mark.parametrize(("engine", "dtype"), [("fused", "float64"), ("script", "float64"), ("fused", "float32")])
def test_parity(engine, dtype, n_ranks, model, archives, tmp_path):
    atoms = dense_water()
    style = f"tdn device cpu engine {engine}"
    found = single_point(atoms, archives[dtype], list(model.elements), tmp_path, n_ranks, style=style)
    expected = model(graph_of(model, atoms))
    assert_same(found, expected, LAMMPS["float32" if dtype == "float32" else "tables"])
    assert f"engine {engine}" in found.run.output
    bare = TDN.from_state(random_model(model.elements).config, model.state_dict())
    assert abs(bare(graph_of(model, atoms)).forces - expected.forces).max() > 1.0


def test_lammps_has_the_same_potential(tmp_path):
    """Without the envelope. LAMMPS's switching function ends at 10 angstrom here, where it is a millionth of 1 eV."""
    term = ZBL(ELEMENTS, 5.0)
    numbers = [atomic_numbers[element] for element in ELEMENTS]
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    lines = [f"pair_coeff {i + 1} {j + 1} {numbers[i]} {numbers[j]}" for i, j in pairs]
    lines += [f"pair_write {i + 1} {j + 1} 40 r 0.2 2.0 {i}{j}.table ZBL" for i, j in pairs]
    text = "units metal\nregion box block 0 30 0 30 0 30\ncreate_box 3 box\nmass * 1.0\npair_style zbl 9.9 10.0\n"
    done = run(text + "\n".join(lines) + "\n", 1, tmp_path)
    assert done.returncode == 0, done.output
    for i, j in pairs:
        rows = (tmp_path / f"{i}{j}.table").read_text().splitlines()
        table = np.array(
            [row.split() for row in rows if row.strip()[:1].isdigit() and len(row.split()) == 4], dtype=float
        )
        assert len(table) == 40
        r = torch.tensor(table[:, 1]).requires_grad_()
        pair = torch.full((40,), 3 * i + j)
        envelope = polynomial_envelope(r / term.reach[pair], 1.0, ENVELOPE_POWER)
        near = (r < 0.7 * term.reach[pair]).numpy()
        energies = 2 * term.pair_energy(r, pair) / envelope
        forces = -torch.autograd.grad(energies[near].sum(), r)[0]
        np.testing.assert_allclose(energies.detach().numpy()[near], table[near, 2], rtol=1e-6, atol=2e-5)
        np.testing.assert_allclose(forces.numpy()[near], table[near, 3], rtol=1e-6, atol=2e-5)


ZBL_STYLE = "pair_style hybrid/overlay tdn device cpu zbl 1.0 2.0\n"
ZBL_PAIRS = ("pair_coeff 1 1 zbl 1 1\n", "pair_coeff 1 2 zbl 1 8\n", "pair_coeff 2 2 zbl 8 8\n")


@pytest.mark.parametrize("pairs", ["".join(ZBL_PAIRS), ZBL_PAIRS[0] + ZBL_PAIRS[2]], ids=["all", "mixed"])
@pytest.mark.parametrize("names", ["{with_term}", "{without} {with_term}"], ids=["one", "ensemble"])
def test_zbl_beside_the_term_is_refused(names, pairs, archives, model, tmp_path):
    """The same repulsion would be added twice."""
    bare = tmp_path / "bare.tdn.pt"
    write_archive(random_model(model.elements), bare, torch.float64)
    files = names.format(with_term=archives["float64"], without=bare)
    done = run_with_zbl(f"pair_coeff * * tdn {files} H O\n{pairs}", tmp_path)
    assert done.returncode != 0
    assert "between types 1 and 1 is part of the model (pair_term) but pair style zbl adds it again" in done.error


def test_zbl_beside_another_model_or_for_other_types_is_not_refused(archives, model, tmp_path):
    bare = tmp_path / "bare.tdn.pt"
    write_archive(random_model(model.elements), bare, torch.float64)
    both = run_with_zbl(f"pair_coeff * * tdn {bare} H O\n{''.join(ZBL_PAIRS)}", tmp_path)
    others = run_with_zbl(f"pair_coeff * * tdn {archives['float64']} NULL O\n{''.join(ZBL_PAIRS[:2])}", tmp_path)
    for done in (both, others):
        assert done.returncode == 0, done.output


def run_with_zbl(pairs: str, folder: Path) -> Run:
    """Zero steps of dense water with LAMMPS's zbl beside a model."""
    write_data(dense_water(), ["H", "O"], folder / "data.test")
    return run(setup(dense_water()) + ZBL_STYLE + pairs + "run 0\n", 1, folder)
