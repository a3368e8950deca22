"""Running, converting and planning need no torch; a machine of a user who does not train may not have it."""

import subprocess
import sys

import pytest

#: What `pip install .` without the extra `train` must be able to import.
MODULES = [
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
    "tdn.lammps.simulation",
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
