"""The pair term of a model: formula, smooth end, derivatives, what it leaves alone, archives and both engines."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import ase
import numpy as np
import pytest
import structures
import torch
from ase.data import atomic_numbers, covalent_radii
from derivatives import automatic_jets
from models import elements_of, energy_of, graph_of, random_model
from slopes import assert_forces_are_slopes, assert_stress_is_slope

from tdn.checkpoints import load_model, save_model
from tdn.config.architectures import config_to_dict, stored_config
from tdn.deployment import DeployedModel, write_archive
from tdn.deployment.jets import pair_term_jets
from tdn.elements import COVALENT_RADII, SYMBOLS
from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig
from tdn.model.pair_term import ZBL
from tdn.model.radial import polynomial_envelope

ELEMENTS = ("H", "O", "U")
PAIRS = list(product(ELEMENTS, repeat=2))
CUTOFF = 4.5


@pytest.fixture(scope="module")
def model() -> TDN:
    model = random_model(ELEMENTS, cutoff=CUTOFF, pair_term="zbl")
    model.set_references([-13.0, -430.0, -1000.0], 0.8)
    return model


@pytest.fixture(scope="module")
def archive(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zbl") / "model.tdn.pt"
    write_archive(model, path)
    return path


def without_term(model: TDN) -> TDN:
    """The same network."""
    return TDN.from_state(replace(model.config, pair_term="none"), model.state_dict())


def test_radii_are_those_of_ase():
    assert np.array_equal(COVALENT_RADII[:96], covalent_radii[1:97])
    assert len(COVALENT_RADII) == len(SYMBOLS)


def dimer(first: str, second: str, distance: float) -> ase.Atoms:
    return ase.Atoms([first, second], [[0.0, 0.0, 0.0], [distance * 0.6, 0.0, distance * 0.8]])


def universal(z1: int, z2: int, r: float) -> float:
    """Published potential, numbers as published: a = 0.8854 Bohr radii, e^2 from the constants of CODATA."""
    coulomb = 1.602176634e-19 / (4 * math.pi * 8.8541878128e-12) * 1e10
    x = r * (z1**0.23 + z2**0.23) / (0.8854 * 0.529177210903)
    screening = [(0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4029), (0.02817, 0.2016)]
    return coulomb * z1 * z2 / r * sum(a * math.exp(-b * x) for a, b in screening)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_formula(model, first, second):
    """Each atom of a pair gets half of the published potential times the envelope."""
    z1, z2 = atomic_numbers[first], atomic_numbers[second]
    reach = min(covalent_radii[z1] + covalent_radii[z2], CUTOFF)
    shares = torch.tensor([0.05, 0.3, 0.6, 0.9], dtype=torch.float64)
    pair = torch.full((4,), ELEMENTS.index(first) * len(ELEMENTS) + ELEMENTS.index(second))
    found = model.network.pair_term.pair_energy(shares * reach, pair)
    envelope = polynomial_envelope(shares, 1.0, 6)
    for share, u, energy in zip(shares.tolist(), envelope.tolist(), found.tolist(), strict=True):
        assert energy == pytest.approx(0.5 * u * universal(z1, z2, share * reach), rel=3e-3)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_energy_of_a_dimer(model, first, second):
    """The whole pair, beside what the same network says."""
    atoms, (z1, z2) = dimer(first, second, 0.25), (atomic_numbers[first], atomic_numbers[second])
    found = energy_of(model, atoms) - energy_of(without_term(model), atoms)
    u = polynomial_envelope(torch.tensor([0.25 / (covalent_radii[z1] + covalent_radii[z2])]), 1.0, 6)
    assert found == pytest.approx(float(u) * universal(z1, z2, 0.25), rel=1e-3)


def test_half_of_a_pair_for_each_atom(model):
    atoms = dimer("H", "U", 0.7)
    term, bare = model(graph_of(model, atoms)).atom_energies, without_term(model)(graph_of(model, atoms)).atom_energies
    added = (term - bare).tolist()
    assert added[0] == pytest.approx(added[1], rel=1e-12)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_it_ends_smoothly(first, second):
    term = ZBL(ELEMENTS, CUTOFF)
    pair = ELEMENTS.index(first) * len(ELEMENTS) + ELEMENTS.index(second)
    reach = float(term.reach[pair])
    points = torch.tensor([reach - 1e-2, reach - 1e-4, reach, reach + 1e-3], dtype=torch.float64)
    jets = automatic_jets(lambda r: term.pair_energy(r, torch.full_like(r, pair, dtype=torch.int64))[:, None], points)
    value, slope, curvature = jets[..., 0]
    assert value[2:].tolist() == [0.0, 0.0]
    for derivative in (value, slope, curvature):
        assert 0 < abs(derivative[1]) < 0.02 * abs(derivative[0])
        assert derivative[2:].abs().max() < 1e-9


def test_beyond_its_reach_nothing_changes(model):
    atoms = structures.water(2)
    whole = random_model(elements_of(atoms), pair_term="zbl")
    reach = covalent_radii[1] + covalent_radii[8]
    far = [d for d in (0.98 * reach, 1.02 * reach)]
    bare = without_term(whole)
    differences = [energy_of(whole, dimer("O", "H", r)) - energy_of(bare, dimer("O", "H", r)) for r in far]
    assert differences[0] > 0
    assert differences[1] == 0


def test_isolated_atoms_keep_their_reference(model):
    found = model(graph_of(model, ase.Atoms("HOU", [[0, 0, 0], [50, 0, 0], [0, 50, 0]]))).atom_energies
    assert found.tolist() == [-13.0, -430.0, -1000.0]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_dimers_repel(model, first, second):
    """At short distances, whatever the untrained network says."""
    energies = [energy_of(model, dimer(first, second, r)) for r in np.linspace(0.2, 0.35, 16)]
    assert np.all(np.diff(energies) < 0)


def compressed(make, factor: float) -> ase.Atoms:
    atoms = make()
    atoms.set_cell(factor * atoms.cell, scale_atoms=True)
    if not atoms.pbc.any():
        atoms.positions *= factor
    return atoms


def test_forces_and_stress_are_slopes():
    molecule, crystal = compressed(structures.ethanol, 0.7), compressed(structures.silicon_triclinic, 0.75)
    model = random_model(elements_of(molecule), pair_term="zbl")
    strength = abs(model(graph_of(model, molecule)).forces - without_term(model)(graph_of(model, molecule)).forces)
    assert strength.max() > 1.0
    assert_forces_are_slopes(model, molecule)
    assert_stress_is_slope(random_model(("Si",), pair_term="zbl"), crystal)


def test_jets(model):
    term = model.network.pair_term
    points = torch.linspace(0.05, 4.4, 50, dtype=torch.float64)
    for k in range(len(ELEMENTS) ** 2):
        pair = torch.full((50,), k, dtype=torch.int64)
        expected = automatic_jets(lambda r, pair=pair: (r * term.pair_energy(r, pair)).unsqueeze(1), points)
        torch.testing.assert_close(pair_term_jets(term, points, pair), expected.squeeze(2), rtol=1e-11, atol=1e-11)


def test_tables_are_close_to_the_formula(model, archive):
    """Dimers from short distances on; relative to the pair's own energy."""
    fused = DeployedModel(archive, engine="fused")
    assert fused.fused
    for first, second in PAIRS:
        for r in (0.2, 0.3, 0.5, 0.9):
            graph = graph_of(model, dimer(first, second, r))
            expected, found = model(graph), fused(graph)
            size = abs(float(expected.energy) + 1443.0)
            assert float(found.energy) == pytest.approx(float(expected.energy), abs=1e-7 * max(size, 1.0))
            torch.testing.assert_close(
                found.forces, expected.forces, rtol=0, atol=1e-6 * float(expected.forces.abs().max())
            )


@pytest.mark.parametrize("engine", ("fused", "script"))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_engines_in_both_precisions(model, engine, dtype, tmp_path):
    """The term is evaluated in float64: a repulsion of hundreds of eV keeps its digits in float32."""
    write_archive(model, tmp_path / "model.tdn.pt", dtype)
    found = DeployedModel(tmp_path / "model.tdn.pt", engine=engine)
    atoms = ase.Atoms("OHHU", [[0, 0, 0], [0.35, 0.2, 0], [-0.4, 0.5, 0.1], [0, 0.3, 0.5]])
    graph = graph_of(model, atoms)
    expected, got = model(graph), found(graph.to(dtype=dtype))
    size = float((expected.atom_energies - model.network.references.energies[graph.species]).abs().max())
    assert size > 400
    limit = 1e-6 if dtype == torch.float64 else 2e-6
    assert float((got.atom_energies - expected.atom_energies).abs().max()) < limit * size
    assert float((got.forces - expected.forces).abs().max()) < limit * float(expected.forces.abs().max())


def test_a_checkpoint_keeps_it(model, tmp_path):
    save_model(model, tmp_path / "model.ckpt", {})
    again = load_model(tmp_path / "model.ckpt")
    atoms = dimer("O", "U", 0.5)
    assert energy_of(again, atoms) == energy_of(model, atoms)


def test_settings_without_the_option_have_none():
    """Checkpoints and archives older than the option."""
    options = config_to_dict(ModelConfig(elements=("H",)))
    options.pop("pair_term")
    assert stored_config(options).pair_term == "none"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"direct_forces": True}, "a direct head knows no pairs"),
        ({"setting": "paper", "attention": "softmax"}, "setting is 'paper'"),
        ({"pair_term": "zbi"}, "zbl"),
    ],
)
def test_refused(options, cause):
    with pytest.raises(TDNError, match=cause):
        ModelConfig(elements=("H",), **({"pair_term": "zbl"} | options))
