"""Models and calculators are copied, pickled and sent to other processes; they stay what they were."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from baselines import random_baseline
from models import random_model

from tdn import _core, load
from tdn.ase import TDNCalculator
from tdn.checkpoints import save_model
from tdn.deployment import DeployedModel, write_archive
from tdn.deployment.deployed import reopen_evaluator

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}
ELEMENTS = ("H", "C", "N", "O", "F", "Si")
SMALL: dict[str, Any] = {"n_channels": 8, "n_layers": 1, "pair_embedding": "sum"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of one and of more elements than get tables at once, another model under ``other``, and a checkpoint."""
    folder = tmp_path_factory.mktemp("pickles")
    write_archive(random_model(("Si",), **SMALL), folder / "silicon.tdn.pt")
    write_archive(random_model(ELEMENTS, **SMALL), folder / "many.tdn.pt")
    write_archive(random_model(ELEMENTS, seed=1, **SMALL), folder / "other.tdn.pt")
    save_model(random_model(("Si",), **SMALL), folder / "silicon.ckpt", {})
    return folder


def molecule(symbols: str = "SiSi") -> Atoms:
    """Two atoms, which have forces."""
    return Atoms(symbols, [[0, 0, 0], [1.9, 0.3, 0]])


def results(model: Any, atoms: Atoms) -> np.ndarray:
    """Energy and forces."""
    calculator = model if isinstance(model, TDNCalculator) else TDNCalculator(model)
    return np.append(calculator.get_forces(atoms), calculator.get_potential_energy(atoms))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["fused", "script", "many", "checkpoint", "painn"])
def test_a_copy_gives_the_same_numbers(files: Path, kind: str, way: str):
    models: dict[str, Callable[[], Any]] = {
        "fused": lambda: DeployedModel(files / "silicon.tdn.pt", engine="fused"),
        "script": lambda: DeployedModel(files / "silicon.tdn.pt", engine="script"),
        "many": lambda: DeployedModel(files / "many.tdn.pt"),
        "checkpoint": lambda: load(files / "silicon.ckpt"),
        "painn": lambda: random_baseline("painn", ("Si",)),
    }
    model, atoms = models[kind](), molecule()
    expected = results(model, atoms)
    assert abs(expected).max() > 1e-3
    assert np.array_equal(results(WAYS[way](model), atoms), expected)
    calculator = TDNCalculator(model)
    assert np.array_equal(results(WAYS[way](calculator), atoms), expected)
    atoms.calc = calculator
    copied = WAYS["deepcopy" if way == "copy" else way](atoms)  # ASE's copy.copy shares the positions
    assert np.array_equal(np.append(copied.get_forces(), copied.get_potential_energy()), expected)
    copied.positions[0, 2] += 0.1
    assert not np.array_equal(copied.get_forces(), atoms.get_forces())


@pytest.mark.parametrize("fate", ["gone", "changed"])
def test_a_loaded_model_does_not_depend_on_its_file(files: Path, tmp_path: Path, fate: str):
    """Not even to open itself again for elements that it has not seen so far."""
    path = tmp_path / "a.tdn.pt"
    shutil.copy(files / "many.tdn.pt", path)
    model = load(path)
    expected = {symbols: results(load(path), molecule(symbols)) for symbols in ("CO", "OSi", "HF")}
    data = pickle.dumps(model)
    if fate == "gone":
        path.unlink()
    else:
        shutil.copy(files / "other.tdn.pt", path)
        assert not np.allclose(results(load(path), molecule("CO")), expected["CO"])
    for each in (model, copy.deepcopy(model), pickle.loads(data), pickle.loads(pickle.dumps(model))):
        for symbols, values in expected.items():
            np.testing.assert_allclose(results(each, molecule(symbols)), values, rtol=0, atol=1e-12)
        assert each.module is not None


def test_copies_do_not_open_the_archive_and_pickles_once(files: Path, monkeypatch: pytest.MonkeyPatch):
    opened = []
    true = _core.Evaluator
    monkeypatch.setattr(_core, "Evaluator", lambda *args, **options: opened.append(args) or true(*args, **options))
    reopen_evaluator.cache_clear()
    calculator = TDNCalculator(files / "silicon.tdn.pt")
    for way, openings in (("copy", 1), ("deepcopy", 1), ("pickle", 2), ("pickle", 2)):  # the second is known
        results(WAYS[way](calculator), molecule())
        assert len(opened) == openings, way


@pytest.mark.parametrize(
    ("file", "method"), [("silicon.tdn.pt", "fork"), ("silicon.tdn.pt", "spawn"), ("silicon.ckpt", "fork")]
)
def test_pools_have_the_results_of_one_process(files: Path, file: str, method: str):
    command = [sys.executable, str(Path(__file__).with_name("pool_worker.py")), str(files / file), method]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr[-2000:]
