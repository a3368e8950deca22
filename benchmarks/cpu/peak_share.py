"""Share of the core's peak that a whole evaluation reaches, and of the rate of its own matrix products.

Question: how much of the floating-point peak, measured in the same run by multiply-adds in registers, does a step use
(aim: 75 %), for C = 32 to 256, l_max 1 and 2, with AVX-512 and AVX2 kernels?

Predicted: an edge and layer cost 6 (d + 2) C^2 operations in matrix products, d = (l_max + 1)^2, 14 d^2 C in products
with K, and six sigmoids per channel. At C = 128 and l_max 1, 82 % of all operations are matrix products of edges, which
run near the rate of the best product; the rest (gather, sigmoids, products with K, scatter) runs at a quarter to a half
of the peak. So 75 % there and more at C = 256; at C = 32 matrix products are two thirds of the operations: 45 %. For
l_max 2 the products with K cost 13 % of the matrix products at C = 128 instead of 5 %: 65 %.

Operations are counted by `tdn.plan.stages` from the shapes of the model: a multiply-add is two, and a sigmoid, which is
an exponential and a reciprocal, a constant number given in the table's head. The last columns count matrix products
alone, of edges and of atoms, which needs no such constant.

Times are CPU times of evaluations without stopwatch; the
stages in the figure are timed apart. Cases are measured in alternation, medians of the repeats; rates are those of the
kernels that the case uses, best of each repeat.

Usage: python benchmarks/cpu/peak_share.py [--repeats N] [--channels C ...] [--copies X Y Z] [--output FILE]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from random_model import SIZE, random_archive, size_text
from report import machine, parser, publish, verdict
from water import water_box

from tdn.data import graph_from_atoms
from tdn.data.graph import Graph
from tdn.deployment.deployed import DeployedModel
from tdn.malloc import keep_freed_pages
from tdn.plan.profile import Profile, profile, timed
from tdn.plan.stages import SIGMOID

KERNELS = "TDN_KERNELS"
#: Aim, of the model of the other benchmarks with the widest kernels.
SHARE = 0.75
EVALUATIONS = 3  # of each repeat


@dataclass(frozen=True)
class Case:
    """A model and the kernels that run it; empty: the widest of the processor."""

    channels: int
    l_max: int
    kernels: str


@dataclass(frozen=True)
class Found:
    """One repeat of a case."""

    profile: Profile
    seconds: float  #: of an evaluation without stopwatch

    @property
    def operations(self) -> float:
        """Of an evaluation."""
        return sum(count.operations for count in self.profile.counts.values())

    @property
    def products(self) -> float:
        """Of these, those of matrix products."""
        counts = self.profile.counts.items()
        return sum(count.operations for name, count in counts if name.endswith(("products", "nodes")))


Results = dict[Case, list[Found]]


def measure(archive: Path, kernels: str, copies: tuple[int, int, int]) -> Found:
    """Time without and with a stopwatch; an evaluator chooses its kernels when it is opened."""
    os.environ.pop(KERNELS, None)
    if kernels:
        os.environ[KERNELS] = kernels
    model = DeployedModel(archive)
    graph = graph_of(model, copies)
    edges = [tensor.numpy() for tensor in (graph.species, graph.center, graph.neighbor, graph.vectors)]
    model.evaluator.evaluate(*edges, n_threads=1)
    seconds = [timed(lambda: model.evaluator.evaluate(*edges, n_threads=1)) for _ in range(EVALUATIONS)]
    return Found(profile(archive, lambda other: graph_of(other, copies), EVALUATIONS), statistics.median(seconds))


def graph_of(model: DeployedModel, copies: tuple[int, int, int]) -> Graph:
    """Water in the model's precision."""
    return graph_from_atoms(water_box(copies), model.elements, model.cutoff).to(dtype=model.dtype)


def median(found: list[Found], value: str) -> float:
    """Of the repeats: rate (operations/s), peak, product, share of each, seconds per atom, or products alone."""
    ways = {
        "rate": lambda f: f.operations / f.seconds,
        "peak": lambda f: f.profile.peak,
        "product": lambda f: f.profile.product,
        "of peak": lambda f: f.operations / f.seconds / f.profile.peak,
        "of product": lambda f: f.operations / f.seconds / f.profile.product,
        "products of peak": lambda f: f.products / f.seconds / f.profile.peak,
        "products of all": lambda f: f.products / f.operations,
        "seconds": lambda f: f.seconds / f.profile.n_atoms,
    }
    return statistics.median(ways[value](f) for f in found)


def table(results: Results) -> list[str]:
    """One row per case."""
    lines = [
        "| engine | C | l_max | us per atom and step | MFLOP per atom | GFLOP/s | peak, GFLOP/s | share of peak, % |"
        " best product, GFLOP/s | share of it, % | products, % of operations | products alone, share of peak, % |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, found in results.items():
        first = found[0]
        head = f"| {first.profile.engine} | {case.channels} | {case.l_max} | {1e6 * median(found, 'seconds'):.1f}"
        figures = [first.operations / first.profile.n_atoms / 1e6]
        figures += [median(found, "rate") / 1e9, median(found, "peak") / 1e9, 100 * median(found, "of peak")]
        figures += [median(found, "product") / 1e9, 100 * median(found, "of product")]
        figures += [100 * median(found, "products of all"), 100 * median(found, "products of peak")]
        lines.append(head + "".join(f" | {figure:.1f}" for figure in figures) + " |")
    return lines


def summary(results: Results) -> list[str]:
    """The aim."""
    usual = Case(int(SIZE["n_channels"]), int(SIZE["l_max"]), "")
    if usual not in results:
        return []
    share, products = (median(results[usual], value) for value in ("of peak", "products of peak"))
    return [
        f"C = {usual.channels}, l_max {usual.l_max}: {100 * share:.1f} % of the peak "
        f"(aim {100 * SHARE:.0f}: {verdict(share >= SHARE)}), {100 * products:.1f} % by matrix products alone."
    ]


def draw(results: Results) -> Figure:
    """Shares of the peak, and time of the stages by case."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    shares, stages = figure.subplots(1, 2)
    for kernels in dict.fromkeys(case.kernels for case in results):
        for l_max in dict.fromkeys(case.l_max for case in results):
            cases = [case for case in results if (case.kernels, case.l_max) == (kernels, l_max)]
            values = [100 * median(results[case], "of peak") for case in cases]
            label = f"{kernels or 'widest'}, l_max {l_max}"
            shares.semilogx([case.channels for case in cases], values, "o-", base=2, label=label)
    shares.axhline(100 * SHARE, color="gray", ls="--", label="aim")
    shares.set(xlabel="channels", ylabel="share of the peak, %", ylim=(0, 100))
    shares.grid(alpha=0.3)
    shares.legend(fontsize=8)
    draw_stages(stages, {case: found[0].profile for case, found in results.items() if not case.kernels})
    return figure


def draw_stages(axes: Axes, profiles: dict[Case, Profile]) -> None:
    """Bars of the share of each stage, forward and backward together."""
    names = [f"C {case.channels}, l {case.l_max}" for case in profiles]
    below = [0.0] * len(names)
    for stage in ("products", "messages", "attention", "geometry", "nodes"):
        parts = []
        for found in profiles.values():
            spent = sum(time for name, time in found.stages.items() if name.endswith(stage))
            parts.append(100 * spent / sum(found.stages.values()))
        axes.bar(names, parts, bottom=below, label=stage)
        below = [a + b for a, b in zip(below, parts, strict=True)]
    axes.set(ylabel="share of the time, %")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize=8, loc="lower right")


def main() -> None:
    """Measure in alternation, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256])
    arguments.add_argument("--l-max", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--kernels", nargs="+", default=["", "avx2"], help="'' asks for the widest")
    arguments.add_argument("--copies", type=int, nargs=3, default=[2, 3, 1], help="of the box of 192 atoms")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    keep_freed_pages()  # the pair style does the same
    cases = [
        Case(c, l_max, kernels) for kernels in options.kernels for l_max in options.l_max for c in options.channels
    ]
    results: Results = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        archives = {
            (c, l_max): random_archive(Path(folder), n_channels=c, l_max=l_max)
            for c in options.channels
            for l_max in options.l_max
        }
        for _ in range(options.repeats):
            for case in cases:
                found = measure(archives[case.channels, case.l_max], case.kernels, tuple(options.copies))
                results[case].append(found)
                print(case, found.seconds, found.profile.peak, found.profile.product, file=sys.stderr, flush=True)
    lines = [
        "# Share of the peak",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/peak_share.py`, medians of {options.repeats}.",
        f"Energy and gradient of water, float32, random weights; {size_text()} where the table is silent.",
        f"A multiply-add is two operations, a sigmoid {SIGMOID}; products are those of matrices, for edges and atoms.",
        "",
        *table(results),
        "",
        *summary(results),
    ]
    publish(lines, options.output, draw(results))


if __name__ == "__main__":
    main()
