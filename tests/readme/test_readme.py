"""What the README shows is run: its LAMMPS input, its Python lines, its commands' names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from structures import rattled
from tiny import settings

from tdn.config.run import config_from_dict
from tdn.model import ModelConfig

ROOT = Path(__file__).parents[2]
WATER = ROOT / "examples" / "water"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def block(start: str) -> str:
    """The fenced block that contains a line starting with ``start``."""
    blocks = re.findall(r"```\w*\n(.*?)```", TEXT, re.DOTALL)
    return next(b for b in blocks if any(line.startswith(start) for line in b.splitlines()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("data.water", "water.tdn.pt"):
        shutil.copy(WATER / name, tmp_path)
    return tmp_path


def test_lammps_input_runs(folder: Path):
    (folder / "in.water").write_text(block("# in.water") + "fix 1 all nve\nrun 2\n")
    command = [str(Path(sys.executable).parent / "lmp"), "-in", "in.water"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Pair style tdn" in done.stdout


def test_python_lines_run(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = [rattled(molecule("H2O"), 0.05, seed) for seed in range(4)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=-14.0, forces=np.zeros((3, 3)))
    for name in ("train.xyz", "test.xyz"):
        ase.io.write(name, frames)
    Path("config.yaml").write_text(yaml.safe_dump(settings(max_epochs=1) | {"run_dir": "run"}))
    names = {"atoms": molecule("H2O")}
    exec(block("import tdn"), names)
    assert names["model"].elements == ("H", "O") and names["errors"]["force_mae"] > 0
    assert names["atoms"].get_forces().shape == (3, 3)


def test_lines_that_drive_lammps_run(folder: Path):
    start = "from ase.io import read\natoms = read('data.water', format='lammps-data', atom_style='atomic')\n"
    code = start + block("from tdn.lammps import Simulation") + "print('forces', result.forces.shape)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert "forces (192, 3)" in done.stdout, done.stdout + done.stderr


def test_training_configuration_is_valid():
    config = config_from_dict(yaml.safe_load(block("# water.yaml")))
    assert config.data.train == "train.xyz"
    ModelConfig(elements=("H", "O"), **config.model)


def test_commands_exist():
    from tdn.cli import build_parser

    known = next(a for a in build_parser()._actions if a.dest == "command").choices
    shown = set(re.findall(r"^tdn (\S+)|`tdn ([a-z-]+)", TEXT, re.MULTILINE))
    assert {first or second for first, second in shown} <= set(known)


def test_keywords_of_the_manual_are_those_of_the_pair_style():
    source = (ROOT / "pair_tdn" / "lammps" / "pair_tdn_options.cpp").read_text(encoding="utf-8")
    manual = (ROOT / "docs" / "pair_style_tdn.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", manual, re.MULTILINE)
    shown = {name: set(re.findall(r"`(\w+)`", values)) for name, values in rows}
    table = re.findall(r'\{"(\w+)", \{(.*?)\}, &Options', source)
    known = {name: set(re.findall(r'"(\w+)"', values)) for name, values in table}
    assert shown == known and "memory" in known


def test_defaults_of_the_manual_are_those_of_the_pair_style():
    header = (ROOT / "pair_tdn" / "lammps" / "pair_tdn_options.h").read_text(encoding="utf-8")
    manual = (ROOT / "docs" / "pair_style_tdn.md").read_text(encoding="utf-8")
    defaults = " ".join(f"{name} {value}" for name, value in re.findall(r'std::string (\w+) = "(\w+)"', header))
    assert f"`{defaults}`" in manual, defaults


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
