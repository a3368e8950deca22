"""The manual names every option with its default and choices, and its configurations can be read."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tdn.config.option import choices_of, option_of
from tdn.config.run import config_from_dict
from tdn.config.tables import KINDS, MARKED, table, with_tables
from tdn.config.training import TrainingConfig
from tdn.evaluation.metrics import METRICS
from tdn.training.loss import LOSSES

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "training.md").read_text(encoding="utf-8")
TABLES = {"training.md": ["model", "data", "training"], "baselines.md": ["schnet", "painn"]}


@pytest.mark.parametrize(("page", "names"), TABLES.items())
def test_tables_are_up_to_date(page, names):
    """``python -m tdn.config.tables docs/training.md docs/baselines.md`` renews them."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [found[2] for found in MARKED.finditer(text)] == names
    assert with_tables(text) == text
    assert with_tables(text.replace("| 5.0 angstrom |", "| 6.0 angstrom |").replace("| 4.5 ang", "| 5.5 ang")) == text


@pytest.mark.parametrize("name", KINDS)
def test_every_option_with_its_default_and_choices(name):
    rows = {
        cells[0].strip("` "): cells for cells in (line.strip("|\n").split(" | ") for line in table(name).splitlines())
    }
    for option in fields(KINDS[name]):
        _, default, meaning = rows[option.name]
        about = option_of(KINDS[name], option.name)
        assert meaning.strip() == about.description != ""
        for choice in choices_of(about):
            assert f"`{choice}`" in meaning, (option.name, choice)
        if isinstance(option.default, (int, float, str)) and default.strip() != "from the data":
            assert yaml.safe_load(default.split()[0].strip("`")) == option.default


def test_losses_are_those_of_the_trainer():
    for name, functions in LOSSES.items():
        assert choices_of(option_of(TrainingConfig, f"{name}_loss")) == tuple(functions)


def test_errors():
    for name in METRICS:
        assert f"`{name}`" in TEXT, name


def test_configurations_can_be_read():
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        content = {"run_dir": "run", "data": {"train": "train.xyz"}} | yaml.safe_load(block)
        config_from_dict(content)
