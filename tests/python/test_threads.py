"""A loaded archive serves many uses, also in several threads at once: results of one thread, no crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import structures
import torch
from models import random_model

from tdn import _core, load
from tdn.ase import TDNCalculator, predict
from tdn.deployment import write_archive

WORKER = Path(__file__).with_name("threads_worker.py")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """By number of elements: tables of all pairs from the start, and tables of the elements seen so far."""
    folder = tmp_path_factory.mktemp("threads")
    paths = {}
    for elements in (("H", "C", "O"), ("H", "C", "N", "O", "F", "S", "Cl")):
        paths[len(elements)] = str(folder / f"{len(elements)}.tdn.pt")
        write_archive(random_model(elements, n_channels=8, n_layers=1, pair_embedding="sum"), paths[len(elements)])
    return paths


@pytest.mark.parametrize(("n_elements", "engine"), [(3, "fused"), (7, "fused"), (3, "script")])
def test_threads_have_the_results_of_one_thread(archives: dict[int, str], n_elements: int, engine: str):
    command = [sys.executable, str(WORKER), archives[n_elements], engine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "same\n"), f"exit {done.returncode}: {done.stderr[-2000:]}"


def test_a_loaded_model_is_not_opened_again(archives: dict[int, str], monkeypatch: pytest.MonkeyPatch):
    opened = []
    true = _core.Evaluator
    monkeypatch.setattr(_core, "Evaluator", lambda *args, **options: opened.append(args) or true(*args, **options))
    model = load(archives[3])
    assert len(opened) == 1
    for _ in range(2):
        predict(model, [structures.ethanol()])
        TDNCalculator(model).get_forces(structures.ethanol())
    assert model.to("cpu") is model and model.to(torch.device("cpu")) is model
    assert len(opened) == 1
