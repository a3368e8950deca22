"""Learning curve and parity plot, as PNG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tdn.training.evaluation import Evaluation
from tdn.training.metrics import UNITS

RESOLUTION = 130


def plot_learning_curve(history: list[dict[str, float]], path: Path) -> None:
    """RMSE of each property against the epoch, logarithmic, one panel per property."""
    names = [name for name in UNITS if any(f"valid_{name}_rmse" in row for row in history)]
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.4), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        for part in ("train", "valid"):
            rows = [row for row in history if f"{part}_{name}_rmse" in row]
            axis.plot([row["epoch"] for row in rows], [row[f"{part}_{name}_rmse"] for row in rows], label=part)
        axis.set(yscale="log", xlabel="epoch", ylabel=f"{name} RMSE ({UNITS[name]})")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    figure.savefig(path, dpi=RESOLUTION)
    plt.close(figure)


def plot_parity(evaluation: Evaluation, path: Path) -> None:
    """Predicted against labeled energy per atom and force components."""
    names = [name for name, (labels, _) in evaluation.pairs.items() if len(labels)]
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.9), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        labels, predicted = (values.numpy() for values in evaluation.pairs[name])
        # total energies differ in the fifth digit only: show them around the mean of the labels, in meV
        shift, factor, unit = (labels.mean(), 1e3, "meV/atom") if name == "energy" else (0.0, 1.0, "eV/angstrom")
        axis.plot(factor * (labels - shift), factor * (predicted - shift), ".", markersize=3, alpha=0.4)
        axis.axline((0.0, 0.0), slope=1.0, color="black", linewidth=0.8)
        axis.locator_params(nbins=6)
        origin = f" above {shift:.3f} eV/atom" if shift else ""
        axis.set(xlabel=f"labeled {name}{origin} ({unit})", ylabel=f"predicted {name} ({unit})")
        axis.set_title(f"{name} RMSE {evaluation.errors[f'{name}_rmse']:.2f} {UNITS[name]}", fontsize=10)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=RESOLUTION)
    plt.close(figure)
