"""Learning curve as a PNG file; the parity plot is that of ``tdn evaluate``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tdn.evaluation.metrics import UNITS
from tdn.evaluation.plots import RESOLUTION, plot_parity

__all__ = ["plot_learning_curve", "plot_parity"]


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
