"""No result depends on memory that nothing has written: the parity matrix's structures with new memory full of NaN."""

from __future__ import annotations

from pathlib import Path
from sys import executable

import numpy as np
import pytest
import torch
from cpp_build import build
from lammps_runner import launch, run_python
from models import random_model
from parity_worker import DTYPES, ELEMENTS

from tdn.deployment import write_archive

WORKER = Path(__file__).parent / "parity_worker.py"


@pytest.fixture(scope="module")
def poison() -> str:
    """The library that fills new memory with NaN."""
    return str(build("poison_memory") / "libpoison_memory.so")


def test_new_memory_is_nan(poison, tmp_path):
    done = launch(
        [executable, "-c", "import torch; print(torch.empty(100).isnan().all().item())"],
        1,
        tmp_path,
        60,
        LD_PRELOAD=poison,
    )
    assert done.output.split() == ["True"]


# 8 and 6 channels do not fill whole vectors; 6 has heads of an odd width
SMALL = {"n_channels": 8, "n_heads": 4, "l_max": 1}
ODD = {"n_channels": 6, "n_heads": 2, "l_max": 2}


@pytest.mark.parametrize(
    ("n_ranks", "options"), [(1, ODD), (2, SMALL), (2, ODD | {"path_weights": "separate"}), (4, SMALL)]
)
def test_all_results_are_finite(poison, tmp_path, n_ranks, options):
    model = random_model(ELEMENTS, n_layers=3, radial_hidden=(8, 8), **options)
    for dtype in DTYPES:
        write_archive(model, tmp_path / f"{dtype}.tdn.pt", getattr(torch, dtype))
    done = run_python(WORKER, n_ranks, tmp_path, str(tmp_path), timeout=240, LD_PRELOAD=poison)
    assert done.returncode == 0, done.output
    found = dict(np.load(tmp_path / f"{n_ranks}.npz"))
    assert sum(name.endswith("/energy") for name in found) > 20
    assert not [name for name, v in found.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
