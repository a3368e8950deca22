"""2,000 damaged archives by a seeded fuzzer: each is refused in one sentence, or gives the very same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from models import random_model

from tdn.deployment import write_archive

pytest.importorskip("tdn._core")

N_ARCHIVES = 2000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small, with every kind of record: about 70 kB."""
    small = {"n_channels": 4, "n_layers": 1, "n_heads": 1, "l_max": 1, "n_radial": 4, "radial_hidden": (4, 4)}
    model = random_model(("H", "O"), dtype="float32", direct_forces=True, **small)
    path = tmp_path_factory.mktemp("whole") / "small.tdn.pt"
    write_archive(model, path)
    return path


def test_refused_or_the_same(archive: Path, tmp_path: Path):
    worker = Path(__file__).with_name("corrupted_worker.py")
    command = [sys.executable, str(worker), str(archive), str(N_ARCHIVES), "7", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    counts = found["counts"]
    assert counts["core refused"] > 0.8 * N_ARCHIVES
    assert counts["label refused"] > 0.8 * N_ARCHIVES
    # dates, attributes and padding may change: then both doors open, and the numbers were compared
    assert counts["fused opened"] > 20
    assert counts["script opened"] > 2
