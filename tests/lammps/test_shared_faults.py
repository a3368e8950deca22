"""The little inputs that first showed a fault, kept beside the checkout: each gives the right result or a sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from lammps_runner import BIN, Run, launch
from solid import table

FAULTS = Path(__file__).parents[3] / "shared" / "faults"


def fault(name: str, folder: Path, *options: str, timeout: float = 120) -> Run:
    """Run the input of a fault in a copy of its folder."""
    if not (FAULTS / name).is_dir():
        pytest.skip(f"the input of this fault is not beside this checkout (../shared/faults/{name})")
    shutil.copytree(FAULTS / name, folder, dirs_exist_ok=True)
    return launch([str(BIN / "lmp"), "-in", f"in.{name}", "-log", "none", *options], 1, folder, timeout)


def test_exclude(tmp_path: Path):
    assert fault("exclude", tmp_path).returncode == 0
    thinned = fault("exclude", tmp_path, "-var", "x", "neigh_modify exclude group f f")
    assert thinned.returncode != 0
    assert thinned.error.startswith("ERROR: Pair style tdn: neigh_modify exclude group f f hides pairs of atoms")
    without = fault("exclude", tmp_path, "-var", "x", "neigh_modify exclude group f all")
    deleted = fault("exclude", tmp_path, "-var", "x", "delete_atoms group f")
    energies = [float(done.output.split("\npe ")[1].split()[0]) for done in (without, deleted)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-6)


def test_include(tmp_path: Path):
    done = fault("include", tmp_path)
    assert done.returncode != 0
    assert done.error.startswith("ERROR: Pair style tdn: neigh_modify include m hides atoms of the model")


def test_gcmc(tmp_path: Path):
    """With the energy of an isolated atom in mu the gas of eight atoms keeps its density."""
    done = fault("gcmc", tmp_path, "-var", "shift", "-5.126069")
    assert done.returncode == 0, done.output
    lines = [line for line in done.output.splitlines() if not line.startswith("WARNING")]
    counts = table(Run(0, "\n".join([*lines, "now = "])))
    numbers = counts[:, 1]
    assert np.all((numbers >= 1) & (numbers <= 25))
    assert counts[-1, 4] > 100  # insertions and
    assert counts[-1, 6] > 100  # deletions that were accepted
