"""An evaluation as tables for people, as JSON, as rows of a CSV file."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from tdn.evaluation.breakdown import StructureErrors
from tdn.evaluation.evaluate import Evaluation
from tdn.evaluation.metrics import UNITS
from tdn.files import check_target

#: Rows of the table of errors and their units.
ROWS = {**UNITS, "energy_total": "meV", "force_structure": "meV/angstrom"}
#: Meaning of each row; ``tdn.evaluation.evaluate`` has the formulas.
MEANINGS = {
    "energy": "energy per atom, over structures",
    "force": "Cartesian components, over atoms with a label",
    "direct_force": "as force, for the direct head of a model with gradient forces",
    "stress": "components, over structures with a label",
    "energy_total": "energy of whole structures",
    "force_structure": "mean over structures of sqrt(mean over atoms |dF|^2): the force RMSE of the TDN paper",
}


def error_table(errors: dict[str, float], meanings: bool = False) -> str:
    """Errors as a table for people, optionally with the meaning of each line."""
    rows = [name for name in ROWS if f"{name}_rmse" in errors]
    width = max([10, *(len(name) + 2 for name in rows)])
    lines = [f"{'property':<{width}}{'MAE':>12}{'RMSE':>12}  unit"]
    for name in rows:
        mae = f"{errors[f'{name}_mae']:.3f}" if f"{name}_mae" in errors else "-"
        line = f"{name:<{width}}{mae:>12}{errors[f'{name}_rmse']:>12.3f}  {ROWS[name]}"
        lines.append(f"{line:<{width + 42}}{MEANINGS[name]}" if meanings else line)
    return "\n".join(lines)


def group_table(title: str, rows: list[dict[str, Any]]) -> str:
    """Force errors of groups of atoms, with the root mean square of their labels."""
    lines = [f"{title:<24}{'atoms':>12}{'MAE':>12}{'RMSE':>12}{'label RMS':>12}  meV/angstrom per component"]
    lines += [
        f"{row['group']:<24}{row['atoms']:>12}{row['mae']:>12.3f}{row['rmse']:>12.3f}{row['label_rms']:>12.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def report(evaluation: Evaluation) -> str:
    """Notes and all tables, with the meaning of each line."""
    parts = ["\n".join([*evaluation.notes, error_table(evaluation.errors, meanings=True)])]
    if evaluation.by_element:
        parts.append(group_table("force by element", evaluation.by_element))
        parts.append(group_table("force by |F|, eV/angstrom", evaluation.by_force))
    return "\n\n".join(parts)


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the pairs, as plain types: errors as in ``Evaluation.errors``, and the tables of groups."""
    return {
        "n_structures": evaluation.n_structures,
        "n_atoms": evaluation.n_atoms,
        "notes": evaluation.notes,
        **evaluation.errors,
        "force_by_element": evaluation.by_element,
        "force_by_magnitude": evaluation.by_force,
    }


@contextmanager
def structure_log(path: str | Path, names: deque[str]) -> Iterator[Callable[[StructureErrors], None]]:
    """A function that writes the errors of one structure as a row of a CSV file, which appears when it is complete.

    Args:
        path: the file; an earlier one is replaced.
        names: names of the structures whose rows are not written yet; each row removes the first.
    """
    target = check_target(path, overwrite=True)
    part = target.with_suffix(target.suffix + ".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", *(field.name for field in fields(StructureErrors))])

        def write(row: StructureErrors) -> None:
            table.writerow([names.popleft(), *astuple(row)])

        yield write
    part.replace(target)
