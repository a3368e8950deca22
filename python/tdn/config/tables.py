"""Tables of options in the manual, made from the options: ``python -m tdn.config.tables FILE ...`` renews them.

A table stands between ``<!-- options: SECTION -->`` and ``<!-- end of options -->``; what lies between is replaced.
"""

from __future__ import annotations

import re
import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from tdn.config import presets
from tdn.config.baselines import PaiNNConfig, SchNetConfig
from tdn.config.data import DataConfig
from tdn.config.model import ModelConfig
from tdn.config.option import Options, extra_of, option_of
from tdn.config.training import TrainingConfig

KINDS: dict[str, type[Options]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "schnet": SchNetConfig,
    "painn": PaiNNConfig,
}
HEAD = "| option | default | meaning |\n|---|---|---|\n"
MARKED = re.compile(r"(<!-- options: (\w+) -->\n).*?(<!-- end of options -->)", re.DOTALL)


def table(name: str) -> str:
    """Markdown table of a section's options."""
    rows = [row(KINDS[name], field) for field in fields(KINDS[name])]
    if KINDS[name] is ModelConfig:
        rows.insert(1, preset_row())
    return HEAD + "".join(rows)


def row(kind: type[Options], field: Field[Any]) -> str:
    """One option."""
    about = option_of(kind, field.name)
    return f"| `{field.name}` | {default_of(field, about)} | {about.description} |\n"


def default_of(field: Field[Any], about: Any) -> str:
    """Default and unit of an option as they appear in a file."""
    if shown := extra_of(about, "shown_default"):
        return str(shown)
    unit = extra_of(about, "unit")
    if field.default is MISSING:
        return unit
    if field.default is None:
        return f"null ({unit})" if unit else "null"
    return f"{in_yaml(field.default)} {unit}".rstrip()


def in_yaml(value: Any) -> str:
    """A value in YAML; text is marked as code."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return f"`{value}`" if isinstance(value, str) else str(value)


def preset_row() -> str:
    """The option ``preset`` of the model, which sets other options and is not stored."""
    names = ", ".join(f"`{name}`" for name in presets.MODELS)
    values = {
        key: ", ".join(str(options[key]) for options in presets.MODELS.values())
        for key in ("l_max", "n_channels", "n_layers")
    }
    text = "; ".join(f"{key} {numbers}" for key, numbers in values.items())
    return (
        f"| `{presets.KEY}` | null | {names}: {text}, on the measured frontier of error against time "
        "(benchmarks/results/frontier_acac.md); options that are given take precedence |\n"
    )


def with_tables(text: str) -> str:
    """The text of a page with its tables rewritten."""
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)


def main(paths: list[str]) -> None:
    """Rewrite the tables of pages."""
    for path in map(Path, paths):
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
