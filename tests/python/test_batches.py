"""Structures evaluated together have the results that they have alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
import structures
import torch
from ase import Atoms
from fused_cases import Case
from models import random_model

from tdn.architectures import default_dtype
from tdn.ase import TDNCalculator, predict, predict_each
from tdn.deployment import DeployedModel
from tdn.errors import TDNError
from tdn.iteration import in_batches
from tdn.model import TDN, ModelConfig

#: eV and angstrom, relative to values above 1; only the order of sums may differ.
SAME = 1e-12


def mixed() -> list[Atoms]:
    """Molecules, single atoms in vacuum and in a box, a crystal cell shorter than the cutoff, a slab, a liquid."""
    crystal = structures.small_cell()
    crystal.symbols[:] = "CO"
    slab = structures.open_slab()
    slab.symbols[:] = "O"
    slab.info.clear()  # where adsorbates may sit, which no file takes
    alone = [Atoms("H"), Atoms("C", cell=[20, 20, 20], pbc=True)]
    return [structures.ethanol(), alone[0], crystal, slab, alone[1], structures.water(2), structures.methane()]


@pytest.fixture(scope="module", params=["model", "archive"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TDN | DeployedModel:
    """Trained form and fused engine."""
    case = Case.make(tmp_path_factory.mktemp("batches"), n_channels=8, n_heads=2)
    if request.param == "model":
        return case.model
    deployed = DeployedModel(case.archive)
    assert deployed.fused
    return deployed


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_are_as_one_at_a_time(model, batch_size):
    frames = mixed()
    calculator = TDNCalculator(model)
    for alone, together in zip(frames, predict(model, frames, batch_size), strict=True):
        alone.calc = calculator
        stored = together.calc.results
        assert together == alone
        assert set(stored) == {*calculator.implemented_properties} - (set() if alone.pbc.all() else {"stress"})
        for name, value in stored.items():
            expected = calculator.get_property(name, alone)
            scale = max(1.0, abs(np.asarray(expected)).max())
            np.testing.assert_allclose(value, expected, rtol=0, atol=SAME * scale, err_msg=name)


def test_the_structures_have_what_the_test_needs(model):
    results = predict(model, mixed())
    assert [atoms.pbc.tolist() for atoms in results[2:4]] == [[True] * 3, [True, True, False]]
    assert abs(results[2].get_stress()).max() > 1e-4
    assert not results[1].get_forces().any() and not results[4].get_stress().any()
    assert all(abs(results[k].get_forces()).max() > 1e-4 for k in (0, 2, 3, 5))


def test_results_are_written_by_ase(model, tmp_path: Path):
    results = predict(model, mixed())
    ase.io.write(tmp_path / "results.xyz", results)
    for written, result in zip(ase.io.read(tmp_path / "results.xyz", ":"), results, strict=True):
        assert written.get_potential_energy() == pytest.approx(result.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(written.get_forces(), result.get_forces(), atol=1e-6)


def test_structures_are_taken_batch_by_batch():
    """An endless stream can be evaluated; two results need one batch of two."""
    taken = []

    def endless() -> Iterator[Atoms]:
        while True:
            taken.append(1)
            yield structures.methane()

    results = predict_each(random_model(("C", "H")), endless(), batch_size=2)
    next(results), next(results)
    assert len(taken) == 2


def test_precision_and_kind_of_forces():
    model = random_model(("C", "H", "O"), direct_forces=True)
    frames = [structures.ethanol(), structures.methane()]
    for kind in ("gradient", "direct"):
        for dtype in ("float32", "float64"):
            calculator = TDNCalculator(model, dtype=dtype, forces=kind)
            for alone, together in zip(frames, predict(model, frames, dtype=dtype, forces=kind), strict=True):
                tolerance = 1e-12 if dtype == "float64" else 1e-5
                np.testing.assert_allclose(together.get_forces(), calculator.get_forces(alone), atol=tolerance)


def test_direct_forces_of_crystals_come_without_stress():
    crystal = structures.small_cell()
    (result,) = predict(random_model(("Si",), direct_forces=True), [crystal], forces="direct")
    assert "stress" not in result.calc.results


def test_per_atom_energies_of_the_published_code_become_total():
    options = {"n_channels": 4, "n_layers": 1, "n_heads": 2, "n_radial": 4, "radial_hidden": (4, 4)}
    torch.manual_seed(0)
    with default_dtype("float64"):
        model = TDN(ModelConfig.paper(("C", "H", "O"), **options))  # in training mode, with dropout
    frames = [structures.ethanol(), structures.methane()]
    for alone, together in zip(frames, predict(model, frames), strict=True):
        alone.calc = TDNCalculator(model)
        assert together.get_potential_energy() == pytest.approx(alone.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(together.get_potential_energies(), alone.get_potential_energies(), rtol=1e-12)
        assert together.get_potential_energies().sum() == pytest.approx(together.get_potential_energy(), rel=1e-12)


class TestMistakes:
    def test_structure_is_named(self):
        frames = [structures.methane(), structures.ethanol()]
        with pytest.raises(TDNError, match="structure 1: element O is not in the model, which knows C H"):
            predict(random_model(("C", "H")), frames)

    def test_batch_size(self):
        with pytest.raises(TDNError, match="the batch size is 0; give a positive number"):
            predict(random_model(("C", "H")), [structures.methane()], batch_size=0)

    def test_nothing_is_no_mistake(self):
        assert predict(random_model(("C", "H")), []) == []


def test_last_batch_is_shorter():
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
