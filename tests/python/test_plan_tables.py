"""The tables of docs/scaling.md are those of the script, and the example shown there is what the command prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tdn.cli import main
from tdn.plan.report import HEADER

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scaling.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plan_table", ROOT / "benchmarks" / "plan_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_document_holds_the_tables_of_the_script(script):
    text = DOCUMENT.read_text(encoding="utf-8")
    for begin in (script.MARKS[0].format(name=name) for name in script.TABLES):
        assert len(text.split(begin)[1].split(script.MARKS[1])[0].strip().splitlines()) > 5
    assert script.replaced(text) == text, "run: python benchmarks/plan_table.py --write docs/scaling.md"


def test_example_is_what_the_command_prints(capsys, monkeypatch):
    monkeypatch.chdir(ROOT / "examples" / "water")
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = [block.strip() for block in text.split("```")[1::2]]
    command = next(block for block in blocks if block.startswith("tdn plan") and "\n" not in block)
    assert main(command.split()[1:]) == 0
    assert next(block for block in blocks if HEADER in block) == capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("number", "text"),
    [(1_234_567, "1,230,000"), (125_000, "125,000"), (39.52, "39.5"), (4.577, "4.58"), (0.0549, "0.0549"), (0, "0")],
)
def test_three_digits(script, number, text):
    assert script.count(number) == text
