"""Smallest error found against the rank, with exact ranks and the paper's schedules."""

from __future__ import annotations

import cp_cache
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from output import COLOR, GROUP, finish, save, schedules, write_table

#: Errors below this are rounding and drawn there.
FLOOR = 1e-7


def draw_panel(axes: Axes, l_max: int, errors: dict[str, dict[int, float]]) -> None:
    """Both groups at one degree."""
    for paths, found in errors.items():
        values = [max(error, FLOOR) for error in found.values()]
        axes.semilogy(list(found), values, "o-", markersize=3.5, linewidth=1, color=COLOR[paths], label=GROUP[paths])
        exact = cp_cache.exact_rank(l_max, paths)
        if exact in found:
            label = "exact (drawn at 1e-7)" if paths == "so3" else None
            axes.plot(exact, FLOOR, "*", markersize=12, color=COLOR[paths], markeredgecolor="black", label=label)
            beside = {"xytext": (-7, 3), "textcoords": "offset points", "ha": "right", "fontsize": 8}
            axes.annotate(str(exact), (exact, FLOOR), **beside)
    right = max(max(found) for found in errors.values()) * 1.12
    shown = [(rank, name) for name, rank in schedules(l_max).items() if 0 < rank <= right]
    for place, (rank, name) in enumerate(sorted(shown)):
        axes.axvline(rank, color="gray", linestyle=":", linewidth=1)
        height = 3 * 5 ** (place % 2)  # labels of close ranks stand above each other
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.annotate(name, (rank, height), fontsize=7, ha="center", color="dimgray", bbox=box)
    axes.set_xlim(0, right)
    axes.set_ylim(FLOOR / 3, 50)
    finish(axes, "rank R", "relative error" if l_max == 1 else "", f"l_max {l_max}")


def make() -> None:
    """Figure and table."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 4, sharey=True)
    rows = []
    for l_max, axes in enumerate(panels, start=1):
        errors = {
            paths: {rank: cp_cache.relative_error(l_max, rank, paths) for rank in ranks[l_max]}
            for paths, ranks in cp_cache.RANKS.items()
        }
        draw_panel(axes, l_max, errors)
        for paths, found in errors.items():
            largest = {rank: float(cp_cache.factors_of(l_max, rank, paths).abs().max()) for rank in found}
            rows += [[paths, str(l_max), str(rank), f"{e:.2e}", f"{largest[rank]:.1f}"] for rank, e in found.items()]
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save(figure, "rank_error")
    remark = (
        "Relative Frobenius error of the best factors found, and their largest entry. An upper bound of the smallest "
        "possible error, not a proven minimum; below 1e-13 exact up to rounding. Made by `docs/theory/figures.py`."
    )
    write_table("rank_error", remark, ["paths", "l_max", "R", "error", "largest entry"], rows)
