"""The commands of the examples with data in the forms of PubChemQCR and OC20 run as written, with fewer epochs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent


def commands(folder: Path) -> list[str]:
    """Command lines of the README's shell block, without comments."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0]
    return [line.split("#")[0].strip() for line in block.splitlines()]


@pytest.fixture(scope="module", params=["pubchemqcr", "oc20"])
def outputs(request, tmp_path_factory) -> dict[str, str]:
    """What each command printed, in a copy of the example."""
    folder = tmp_path_factory.mktemp("example") / request.param
    shutil.copytree(EXAMPLES / request.param, folder, ignore=shutil.ignore_patterns("runs", "*.index", "*.tdn.pt"))
    config = (folder / "train.yaml").read_text()
    shortened = re.sub(r"max_epochs: \d+", "max_epochs: 3", config)
    assert shortened != config
    (folder / "train.yaml").write_text(shortened.replace("n_channels: 32", "n_channels: 16"))
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    printed = {}
    for command in commands(folder):
        done = subprocess.run(command.split(), cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        printed[command.split("#")[0]] = done.stdout
    return printed


def find(outputs: dict[str, str], start: str) -> str:
    return next(text for command, text in outputs.items() if command.startswith(start))


def test_training_lowers_the_error(outputs: dict[str, str]):
    errors = [float(x) for x in re.findall(r"valid RMSE .*?force ([\d.]+)", find(outputs, "tdn train"))]
    assert len(errors) == 3 and errors[-1] < errors[0]


def test_evaluation_has_forces(outputs: dict[str, str]):
    assert re.search(r"force\s+[\d.]+\s+[\d.]+\s+meV/angstrom", find(outputs, "tdn evaluate"))


def test_lammps_runs(outputs: dict[str, str]):
    text = find(outputs, "mpirun")
    assert "Pair style tdn" in text and "Loop time" in text and "on 2 procs" in text
