"""Figure of an evaluation: parity of energies and forces, force errors by element and by the length of the force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tdn.evaluation.evaluate import Evaluation
from tdn.evaluation.metrics import UNITS

RESOLUTION = 130
#: Groups in one panel; if there are more, those with the largest errors are shown.
MAX_GROUPS = 20


def plot_parity(evaluation: Evaluation, path: Path) -> None:
    """Predicted against labeled energy per atom and force components, and force errors of groups of atoms."""
    parity = [name for name, (labels, _) in evaluation.pairs.items() if len(labels)]
    groups = [("element", evaluation.by_element), ("|F| (eV/angstrom)", evaluation.by_force)]
    groups = [(name, rows) for name, rows in groups if rows]
    columns = max(len(parity), len(groups))
    figure, axes = plt.subplots(
        1 + bool(groups),
        columns,
        figsize=(4.2 * columns, 3.9 + 3.2 * bool(groups)),
        squeeze=False,
        layout="constrained",
        height_ratios=[3.9, 3.2][: 1 + bool(groups)],
    )
    for axis, name in zip(axes[0], parity, strict=False):
        draw_parity(axis, evaluation, name)
    for axis, (name, rows) in zip(axes[-1], groups, strict=False):
        draw_groups(axis, name, rows)
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    figure.savefig(path, dpi=RESOLUTION)
    plt.close(figure)


def draw_parity(axis: Axes, evaluation: Evaluation, name: str) -> None:
    """One property, prediction against label."""
    labels, predicted = (values.numpy() for values in evaluation.pairs[name])
    # total energies differ only in the fifth digit: show them relative to the mean of the labels, in meV
    shift, factor, unit = (labels.mean(), 1e3, "meV/atom") if name == "energy" else (0.0, 1.0, "eV/angstrom")
    axis.plot(factor * (labels - shift), factor * (predicted - shift), ".", markersize=3, alpha=0.4)
    axis.axline((0.0, 0.0), slope=1.0, color="black", linewidth=0.8)
    axis.locator_params(nbins=6)
    origin = f" above {shift:.3f} eV/atom" if shift else ""
    axis.set(xlabel=f"labeled {name}{origin} ({unit})", ylabel=f"predicted {name} ({unit})")
    axis.set_title(f"{name} RMSE {evaluation.errors[f'{name}_rmse']:.2f} {UNITS[name]}", fontsize=10)
    axis.grid(alpha=0.3)


def draw_groups(axis: Axes, name: str, rows: list[dict[str, Any]]) -> None:
    """MAE and RMSE of force components of groups of atoms, beside the root mean square of their labels."""
    if len(rows) > MAX_GROUPS:
        worst = sorted(rows, key=lambda row: -row["rmse"])[:MAX_GROUPS]
        rows = [row for row in rows if row in worst]
        name = f"{name}, {MAX_GROUPS} with the largest errors"
    positions = range(len(rows))
    for column, marker, label in (("mae", "o", "MAE"), ("rmse", "s", "RMSE"), ("label_rms", "_", "RMS of labels")):
        color, size = ("black", 16) if marker == "_" else (None, 6)
        axis.plot(positions, [row[column] for row in rows], marker, color=color, markersize=size, label=label)
    names = [f"{row['group'].replace(' to ', '-')}\n{count(row['atoms'])}" for row in rows]
    axis.set_xticks(positions, names, fontsize=8)
    axis.set(yscale="log", xlim=(-0.6, len(rows) - 0.4), ylabel=f"force error ({UNITS['force']})")
    axis.set_xlabel(f"{name}; number of atoms below")
    axis.grid(alpha=0.3, axis="y", which="both")
    axis.legend(fontsize=8)


def count(number: int) -> str:
    """A number of atoms in short form."""
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if number >= size:
            return f"{number / (size if letter == 'M' else 1000):.3g} {letter}"
    return str(number)
