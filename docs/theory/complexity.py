"""Multiplications of one product by their formulas, and the times that ``benchmarks/`` measured, against l_max."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from output import finish, save, write_table

from tdn.algebra.clebsch_gordan import admissible_paths, coupling_tensor

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "results" / "tensor_products.md"
DEGREES = range(1, 7)
CHANNELS = 64


def dim(l_max: int) -> int:
    """Components d."""
    return (l_max + 1) ** 2


def path_loop(l_max: int, _: int) -> float:
    """All paths, each a dense contraction with its Wigner 3j symbol."""
    return sum((2 * a + 1) * (2 * b + 1) * (2 * c + 1) for a, b, c in admissible_paths(l_max, "so3"))


def dense(l_max: int, _: int) -> float:
    """Outer product, then the stacked tensor as one matrix, then the weight."""
    return dim(l_max) ** 3 + dim(l_max) ** 2 + dim(l_max)


def hadamard(l_max: int, n_channels: int) -> float:
    """Eq. 4 at R = 7 l_max^2: into rank space, product, back, weight; the second operand has one channel."""
    rank = 7 * l_max**2
    return 2 * dim(l_max) * rank + rank + dim(l_max) + dim(l_max) * rank / n_channels


@cache
def n_entries(l_max: int) -> int:
    """Entries of the SO(3) coupling tensor other than zero."""
    return int((coupling_tensor(l_max, "so3", "none").abs() > 1e-12).sum())


def sparse(l_max: int, _: int) -> float:
    """Outer product, then the entries that are not zero, then the weight."""
    return n_entries(l_max) + dim(l_max) ** 2 + dim(l_max)


def edge(l_max: int, n_channels: int) -> float:
    """K(edge) applied, then the weight, and a share of building K by a dense product."""
    return dim(l_max) ** 2 + dim(l_max) + dim(l_max) ** 3 / n_channels


#: name: (formula, section and row of the benchmark where the same operations are executed, color)
FORMS: dict[str, tuple[Callable[[int, int], float], tuple[str, str], str]] = {
    "loop over paths (e3nn)": (path_loop, ("One channel", "e3nn, path by path, one weight"), "tab:gray"),
    "dense M": (dense, ("Many channels", "exact, dense"), "tab:brown"),
    "CP, R = 7 L² (Eq. 4)": (hadamard, ("One channel", "CP, Hadamard form (Eq. 4)"), "tab:red"),
    "sparse M": (sparse, ("Many channels", "exact, sparse"), "tab:purple"),
    "K(edge)": (edge, ("One channel", "exact, edge matrix"), "tab:green"),
}


def benchmark() -> dict[tuple[str, str, int], tuple[float, float]]:
    """(section, form, l_max) -> microseconds and multiplications of a row of ``CHANNELS`` channels, as executed."""
    found, section = {}, ""
    for line in BENCHMARK.read_text().splitlines():
        if line.startswith("## "):
            section = " ".join(line[3:].split()[:2])
        row = re.match(r"\| (\d+) \| ([^|]+) \| ([^|]+) \| [^|]+ \| ([\d,]+) \|", line)
        if row:
            name = (section, row[2], int(row[1]))
            found[name] = float(row[3]), float(row[4].replace(",", ""))
    return found


def draw_counts(axes: Axes) -> None:
    """Formulas as lines, executed multiplications as points."""
    executed = benchmark()
    for name, (formula, (section, row), color) in FORMS.items():
        axes.semilogy(DEGREES, [formula(l_max, CHANNELS) for l_max in DEGREES], color=color, label=name)
        points = [executed[section, row, l_max][1] / CHANNELS for l_max in DEGREES]
        axes.semilogy(DEGREES, points, "o", markersize=4, color=color)
    applied = [dim(l_max) ** 2 for l_max in DEGREES]
    axes.semilogy(DEGREES, applied, ":", color="tab:green", label="K(edge), applied only: d²")
    finish(axes, "l_max", "multiplications per edge and channel", "counted (lines) and executed (points)")


def draw_times(axes: Axes, header: str) -> None:
    """Measured times."""
    measured = benchmark()
    for name, (_, (section, row), color) in FORMS.items():
        times = [1e3 * measured[section, row, l_max][0] / CHANNELS for l_max in DEGREES]
        style = "o--" if section == "Many channels" else "o-"
        axes.semilogy(DEGREES, times, style, markersize=4, color=color, label=name)
    finish(axes, "l_max", "ns per edge and channel", f"measured: {header}")


def make() -> None:
    """Figure and table."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_counts(left)
    draw_times(right, "one thread, float32, 64 channels")
    left.legend(fontsize=8, frameon=False)
    save(figure, "complexity")
    measured = benchmark()
    rows = []
    for name, (formula, (section, row), _) in FORMS.items():
        for l_max in DEGREES:
            microseconds, executed = measured[section, row, l_max]
            counts = f"{formula(l_max, CHANNELS):,.0f}", f"{executed / CHANNELS:,.0f}"
            rows.append([name, str(l_max), *counts, f"{1e3 * microseconds / CHANNELS:,.3g}"])
    remark = (
        f"Multiplications per edge and channel, {CHANNELS} channels, SO(3) paths, by formula and as executed, and "
        "time. Executed and time are those of `benchmarks/results/tensor_products.md`: dense and sparse M with a "
        "second operand of many channels, the others with one. Made by `docs/theory/figures.py`."
    )
    write_table("complexity", remark, ["form", "l_max", "formula", "executed", "ns"], rows)
