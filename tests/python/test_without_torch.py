"""Running, converting and planning need no torch; a machine of a user who does not train may not have it."""

import json
import subprocess
import sys
from pathlib import Path

import ase.build
import numpy as np
import pytest

from tdn.ase import TDNCalculator, predict

ARCHIVE = Path(__file__).parents[2] / "examples/silicon/silicon.tdn.pt"

#: What `pip install .` without the extra `train` must be able to import.
MODULES = [
    "tdn.ase",
    "tdn.cli.convert",
    "tdn.cli.data",
    "tdn.cli.index",
    "tdn.cli.plan",
    "tdn.data.arrays",
    "tdn.data.convert",
    "tdn.data.formats.ase_source",
    "tdn.data.formats.oc",
    "tdn.data.formats.pubchemqcr",
    "tdn.data.source",
    "tdn.deployment.deployed",
    "tdn.lammps.simulation",
    "tdn.relaxation.relax",
    "tdn.plan",
]

BLOCKED = "import sys\nsys.modules['torch'] = None\n"


def run_blocked(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, timeout=120)


def test_modules_are_imported_without_torch():
    code = "from importlib import import_module\nfor name in sys.argv[1:]: import_module(name)\n"
    command = [sys.executable, "-c", BLOCKED + code, *MODULES]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["tdn.model", "tdn.training.loop"])
def test_the_block_works(module):
    """Negative control: what needs torch fails."""
    assert "torch" in run_blocked(f"import {module}").stderr


def test_an_archive_in_ase_is_the_same():
    """Energies, forces and stresses of the calculator and of ``predict`` with torch blocked and with torch."""
    code = f"""
import json, ase.build
from tdn.ase import TDNCalculator, predict
atoms = ase.build.bulk("Si", cubic=True)
atoms.rattle(0.1, seed=1)
atoms.calc = TDNCalculator({str(ARCHIVE)!r})
results = [atoms.get_potential_energy(), atoms.get_forces().tolist(), atoms.get_stress().tolist()]
(same,) = predict({str(ARCHIVE)!r}, [atoms])
assert same.get_potential_energy() == results[0]
print(json.dumps(results))
"""
    result = run_blocked(code)
    assert result.returncode == 0, result.stderr
    atoms = ase.build.bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = TDNCalculator(ARCHIVE)
    (again,) = predict(ARCHIVE, [atoms])
    for found, here in zip(
        json.loads(result.stdout), (again.get_potential_energy(), atoms.get_forces(), atoms.get_stress()), strict=True
    ):
        np.testing.assert_array_equal(found, here)


def test_a_checkpoint_says_what_it_needs(tmp_path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"PK")
    result = run_blocked(f"import tdn\ntdn.load({str(path)!r})")
    assert "TDNError" in result.stderr and "pip install" in result.stderr


def test_a_command_says_what_it_needs(tmp_path):
    path = tmp_path / "water.yaml"
    path.write_text("data: {train: nothing.xyz}\n")
    result = run_blocked(f"from tdn.cli import main\nsys.exit(main(['deploy', {str(path)!r}, '-o', 'new.tdn.pt']))")
    assert result.returncode == 1
    assert result.stderr.startswith("tdn deploy: this needs torch")
    assert len(result.stderr.splitlines()) == 1
