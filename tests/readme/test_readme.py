"""What the README shows is run: its LAMMPS input, its Python lines, its commands' names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ase.build import molecule

from tdn.model import ModelConfig
from tdn.training.config import config_from_dict

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


def test_python_lines_run(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"atoms": molecule("H2O")}
    exec(block("import tdn"), names)
    assert names["model"].elements == ("H", "O")
    assert names["atoms"].get_forces().shape == (3, 3)


def test_training_configuration_is_valid():
    config = config_from_dict(yaml.safe_load(block("# water.yaml")))
    assert config.data.train == "train.xyz"
    ModelConfig(elements=("H", "O"), **config.model)


def test_commands_exist():
    from tdn.cli import build_parser

    known = next(a for a in build_parser()._actions if a.dest == "command").choices
    shown = set(re.findall(r"^tdn (\S+)|`tdn ([a-z-]+)", TEXT, re.MULTILINE))
    assert {first or second for first, second in shown} <= set(known)


def test_keywords_of_the_table_are_those_of_the_pair_style():
    source = (ROOT / "pair_tdn" / "pair_tdn_options.cpp").read_text(encoding="utf-8")
    syntax = TEXT.split("### Syntax")[1].split("### Examples")[0]
    table = re.findall(r"^\| `(\w+)` \|", syntax, re.MULTILINE)
    assert table, "the README has no table of keywords"
    for keyword in table:
        assert f'"{keyword}"' in source, keyword
