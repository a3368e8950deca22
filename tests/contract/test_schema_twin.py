"""python/tdn/schema.py and pair_tdn/archive/archive_schema.h hold the same names and values."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_constants() -> tuple[dict[str, str], list[str]]:
    """Constants by name and the names in REQUIRED_FIELDS."""
    values: dict[str, str] = {}
    required: list[str] = []
    for node in ast.parse((ROOT / "python/tdn/schema.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            if isinstance(node.value, ast.Constant):
                values[target.id] = str(node.value.value)
            else:
                assert target.id == "REQUIRED_FIELDS"
                required = [element.id for element in node.value.elts]
    return values, required


def cpp_constants() -> tuple[dict[str, str], list[str]]:
    text = (ROOT / "pair_tdn/archive/archive_schema.h").read_text()
    found = re.findall(r"inline constexpr (?:const char \*|int64_t )(\w+) = \"?([^\";]+)\"?;", text)
    required = re.search(r"REQUIRED_FIELDS\{(.*?)\}", text, re.S)
    return dict(found), re.findall(r"\w+", required[1])


def test_both_files_agree():
    values, required = python_constants()
    assert "LAYER_WIDTHS" in values
    assert cpp_constants() == (values, required)
