"""One protocol for all finished models: what takes a model needs nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structures
import torch
from baselines import random_baseline
from models import graph_of, random_model

from tdn import load
from tdn.ase import arrays_of
from tdn.checkpoints import save_model
from tdn.deployment import write_archive
from tdn.errors import TDNError
from tdn.model.protocol import Model

KINDS = ("checkpoint", "archive", "painn", "paper")


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("protocol")
    small = {"n_channels": 8, "n_layers": 1, "n_heads": 2}
    if request.param == "painn":
        return random_baseline("painn", ("Si",))
    made = random_model(("Si",), **small, **({"setting": "paper"} if request.param == "paper" else {}))
    if request.param == "archive":
        write_archive(made, folder / "a.tdn.pt")
        return load(folder / "a.tdn.pt")
    save_model(made, folder / "a.ckpt", {"references": {"Si": -1.5}})
    return load(folder / "a.ckpt")


def test_every_model_is_one(model: Any, request: pytest.FixtureRequest):
    assert isinstance(model, Model)
    assert (model.elements, model.cutoff) == (("Si",), 4.5)
    assert (model.dtype, model.device) == (torch.float64, torch.device("cpu"))
    assert model.force_kinds[0] in ("gradient", "direct")
    per_atom = model.energy_convention == "per_atom"
    assert model.free_energies == ((-1.5,) if per_atom else ())
    assert model.to("cpu") is model and model.eval() is model


def test_prediction_of_every_model(model: Any):
    atoms = structures.small_cell()
    output = model(graph_of(model, atoms), stress=True, forces="gradient")
    assert output.energy.shape == (1,) and output.forces.shape == (2, 3) and output.stress.shape == (1, 3, 3)


def test_results_of_every_model_are_its_predictions(model: Any):
    atoms = [structures.small_cell(), structures.small_cell()[:1]]
    atoms[1].pbc = False
    found = model.results([arrays_of(one, model) for one in atoms])
    assert ["stress" in results for results in found] == [True, False]
    for one, results in zip(atoms, found, strict=True):
        output = model(graph_of(model, one))
        if model.energy_convention == "extensive":
            assert results["energy"] == results["free_energy"] == pytest.approx(float(output.energy), abs=1e-9)
        np.testing.assert_allclose(results["forces"], output.forces, rtol=0, atol=1e-9)
        assert results["energies"].sum() == pytest.approx(results["energy"], abs=1e-9)
    if "direct" not in model.force_kinds:
        with pytest.raises(TDNError, match="no head for direct forces"):
            model.results([arrays_of(atoms[0], model)], "direct")


def test_precision_of_every_model(model: Any, request: pytest.FixtureRequest):
    if hasattr(model, "label"):
        assert model.in_dtype(torch.float64) is model and model.in_dtype(model.precision) is model
        with pytest.raises(TDNError, match="deploy it in that precision"):
            model.in_dtype(torch.float32)
    else:
        assert model.in_dtype("float32").precision == "float32" and model.precision == "float64"
        assert model.in_dtype(torch.float32).dtype == torch.float32 and model.dtype == torch.float64


@pytest.mark.parametrize("thing", [None, torch.nn.Linear(1, 1), Path("a.ckpt")])
def test_other_things_are_none(thing: Any):
    assert not isinstance(thing, Model)
