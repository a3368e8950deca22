"""docs/training.md names every option with its default, and its configurations can be read."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from tdn.evaluation.metrics import METRICS
from tdn.model import ModelConfig
from tdn.training.config import config_from_dict
from tdn.training.sections import _CHOICES, DataConfig, TrainingConfig

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
SECTIONS = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig}
#: Defaults that the page explains in words.
IN_WORDS = {"elements", "avg_degree", "avg_n_atoms", "train"}


def rows_of(section: str) -> dict[str, str]:
    """Option and its default as written in the table of a section."""
    start = TEXT.index(f"\n## {section}\n")
    table = re.split(r"\n##+ ", TEXT[start + 4 :], maxsplit=1)[0]
    rows = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`(\w+)`", cells[0]) if line.startswith("| `") else []
        defaults = re.split(r", (?![^\[]*\])", cells[1]) if len(names) > 1 else cells[1:2]
        rows |= dict(zip(names, defaults * len(names) if len(defaults) == 1 else defaults, strict=False))
    return rows


@pytest.mark.parametrize(("section", "kind"), SECTIONS.items())
def test_every_option_and_no_other(section, kind):
    not_stored = {"preset"} if section == "model" else set()  # it stands for values of other options
    assert set(rows_of(section)) == {option.name for option in fields(kind)} | not_stored


@pytest.mark.parametrize(("section", "kind"), SECTIONS.items())
def test_defaults(section, kind):
    written = rows_of(section)
    for option in fields(kind):
        if option.name in IN_WORDS or option.default is MISSING:
            continue
        value = yaml.safe_load(written[option.name].strip("`"))
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        assert value == default, option.name


@pytest.mark.parametrize("name", _CHOICES)
def test_choices(name):
    (line,) = (line for line in TEXT.splitlines() if re.match(rf"\| [^|]*`{name}`", line))
    for choice in _CHOICES[name]:
        assert f"`{choice}`" in line, choice


def test_errors():
    for name in METRICS:
        assert f"`{name}`" in TEXT, name


def test_configurations_can_be_read():
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        content = {"run_dir": "run", "data": {"train": "train.xyz"}} | yaml.safe_load(block)
        config_from_dict(content)
