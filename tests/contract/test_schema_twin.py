"""python/tdn/schema.py and pair_tdn/archive/archive_schema.h hold the same names and values."""

import ast
import re
from pathlib import Path

import pytest

from tdn import schema

ROOT = Path(__file__).parents[2]


def python_constants() -> tuple[dict[str, str], list[str], list[str]]:
    """Constants by name, the names in REQUIRED_FIELDS and those in KNOWN_WEIGHTS."""
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for node in ast.parse((ROOT / "python/tdn/schema.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            if isinstance(node.value, ast.Constant):
                values[target.id] = str(node.value.value)
            else:
                assert isinstance(node.value, ast.Tuple)
                lists[target.id] = [
                    element.id if isinstance(element, ast.Name) else str(element.value)  # type: ignore[attr-defined]
                    for element in node.value.elts
                ]
    assert set(lists) == {"REQUIRED_FIELDS", "KNOWN_WEIGHTS"}
    return values, lists["REQUIRED_FIELDS"], lists["KNOWN_WEIGHTS"]


def cpp_constants() -> tuple[dict[str, str], list[str], list[str]]:
    text = (ROOT / "pair_tdn/archive/archive_schema.h").read_text()
    found = re.findall(r"inline constexpr (?:const char \*|int64_t )(\w+) = \"?([^\";]+)\"?;", text)
    required = re.search(r"REQUIRED_FIELDS\{(.*?)\}", text, re.S)
    known = re.search(r"KNOWN_WEIGHTS\{(.*?)\n\s*\};|KNOWN_WEIGHTS\{(.*?)\};", text, re.S)
    return dict(found), re.findall(r"\w+", required[1]), re.findall(r'"([^"]+)"', known[0])


def test_both_files_agree():
    values, required, known = python_constants()
    assert "LAYER_WIDTHS" in values
    assert "coupling" in known
    assert cpp_constants() == (values, required, known)


@pytest.mark.parametrize("name", ["coupling", "layers.12.query", "force_head.query", "force_head.project"])
def test_known_weights(name):
    assert schema.is_weight(name)


@pytest.mark.parametrize("name", ["", "layers.12", "layers..query", "layers.x.query", "layers.0.coupling", "query"])
def test_unknown_weights(name):
    assert not schema.is_weight(name)
