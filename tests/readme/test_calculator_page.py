"""What docs/calculator.md shows is run, from top to bottom, in one folder."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from structures import rattled

from tdn.cli import main
from tdn.evaluation.report import MEANINGS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "calculator.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models and structures by the names of the page."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("water", "silicon"):
        shutil.copy(ROOT / "examples" / name / f"{name}.tdn.pt", folder)
    molecules = [rattled(molecule("H2O"), 0.05, seed) for seed in range(3)]
    ase.io.write(folder / "molecules.xyz", molecules)
    ase.io.write(folder / "crystal.xyz", rattled(bulk("Si", "diamond", a=5.3, cubic=True), 0.03))
    ase.io.write(folder / "test.xyz", [labeled(atoms) for atoms in molecules])
    return folder


def labeled(atoms: Atoms) -> Atoms:
    """With made-up energy and forces."""
    atoms.calc = SinglePointCalculator(atoms, energy=-2078.0, forces=np.ones((3, 3)))
    return atoms


def test_python_runs(folder: Path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)
    assert names["forces"].shape == (3, 3) and len(names["energies"]) == 100
    assert len(ase.io.read("results.xyz", ":")) == 100
    assert names["relaxed"].converged
    assert "force by element" in capsys.readouterr().out


def test_commands_run(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "tdn" and main(arguments) == 0, line
    written = ("parity.png", "structures.csv", "relaxed.xyz", "steps.traj", "crystal_relaxed.xyz")
    assert all((folder / name).stat().st_size for name in written)


def test_every_line_of_the_table_of_errors_is_explained():
    shown = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(shown) == sorted(MEANINGS)
