"""Results as a Markdown table and a figure."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Any

from cases import CASES, MODELS, UNDOCUMENTED, Case, Model
from matplotlib.figure import Figure

#: What an adapter said in each repeat; one that failed says so in ``error``.
Found = dict[Case, list[dict[str, Any]]]
#: Results by number of atoms.
Results = dict[int, Found]

#: Times slower than TDN that the fastest peer is to be.
AIM = 2
COLORS = {"tdn": "C3", "mace": "C0", "nequip": "C2", "sevenn": "C1", "torchmdnet": "C4"}
HEAD = (
    "| model | layers | mode | edges per atom | ms per atom and step | times TDN's | MFLOP per atom and step |"
    " GFLOP/s | MB per atom |",
    "|---|---|---|---|---|---|---|---|---|",
)


def good(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Repeats without an error."""
    return [run for run in runs if "error" not in run]


def median(found: Found, case: Case, key: str) -> float | None:
    """Median over repeats, None where a case has not run."""
    values = [run[key] for run in good(found.get(case, [])) if key in run]
    return statistics.median(values) if values else None


def seconds(found: Found, case: Case) -> float:
    """Time per atom, endless where a case has not run."""
    time = median(found, case, "seconds")
    return math.inf if time is None else time


def documented(cases: list[Case]) -> list[Case]:
    """Those whose mode the package documents."""
    return [case for case in cases if case.mode != UNDOCUMENTED]


def ran(found: Found) -> list[Case]:
    """Cases with a time, in the order of the list."""
    return [case for case in CASES if seconds(found, case) < math.inf]


def ours(found: Found, layers: int) -> float | None:
    """Seconds per atom of TDN of the same depth."""
    cases = [case for case in ran(found) if case.model.environment == "tdn" and case.model.layers == layers]
    return seconds(found, cases[0]) if cases else None


def fastest(found: Found, model: Model) -> Case | None:
    """Mode in which a model takes the least time."""
    cases = [case for case in ran(found) if case.model == model]
    return min(cases, key=partial(seconds, found)) if cases else None


def flops(found: Found, model: Model) -> float | None:
    """Arithmetic of a model per atom, which is counted in one of its modes."""
    counts = [median(found, case, "flops") for case in ran(found) if case.model == model]
    return next((count for count in counts if count), None)


def row(found: Found, case: Case, counted: float | None) -> str:
    """One line; a bold time is the least of its model."""
    time, memory = seconds(found, case), median(found, case, "memory")
    assert memory is not None
    reference = ours(found, case.model.layers)
    engine = good(found[case])[0]["engine"]
    figure = f"{1e3 * time:.3f}"
    words = (
        case.model.name,
        str(case.model.layers),
        f"{case.mode} ({engine})" if engine else case.mode,
        f"{median(found, case, 'edges'):.1f}",
        f"**{figure}**" if case == fastest(found, case.model) else figure,
        f"{time / reference:.1f}" if reference else "",
        f"{counted / 1e6:.0f}" if counted else "",
        f"{counted / time / 1e9:.0f}" if counted else "",
        f"{memory / 1e6:.3g}",
    )
    return "| " + " | ".join(words) + " |"


def tables(results: Results) -> list[str]:
    """A table for each box; arithmetic per atom is counted in the smallest."""
    lines: list[str] = []
    smallest = results[min(results)]
    for n_atoms, found in results.items():
        cases = ran(found)
        lines += ["", f"## {n_atoms:,} atoms", "", *HEAD]
        lines += [row(found, case, flops(smallest, case.model)) for case in cases]
        lines += ["", *verdict(found)]
    return lines


def verdict(found: Found) -> list[str]:
    """How the fastest peer of each depth compares with the aim, in any mode and in those that are documented."""
    lines = []
    for layers in sorted({model.layers for model in MODELS}):
        reference = ours(found, layers)
        peers = [case for case in ran(found) if case.model.layers == layers and case.model.environment != "tdn"]
        best = [min(some, key=partial(seconds, found)) for some in (peers, documented(peers)) if some]
        for case in dict.fromkeys(best):
            if reference is None:
                continue
            ratio = seconds(found, case) / reference
            met = "met" if ratio >= AIM else "missed"
            lines.append(
                f"- fastest peer of {layers} layers{'' if case == best[0] else ' in a documented mode'}: "
                f"{case.model.name} ({case.mode}), {ratio:.1f} times TDN's time (aim: at least {AIM}, {met})"
            )
    return lines


def failures(results: Results) -> list[str]:
    """What did not run, and why."""
    lines = []
    for n_atoms, found in results.items():
        for case, runs in found.items():
            errors = [run["error"] for run in runs if "error" in run]
            if errors:
                lines.append(f"| {case.model.name} | {case.model.layers} | {case.mode} | {n_atoms:,} | {errors[0]} |")
    head = ["", "## What did not run", "", "| model | layers | mode | atoms | reason |", "|---|---|---|---|---|"]
    return [*head, *lines] if lines else []


def versions(results: Results) -> str:
    """Packages that said their version."""
    runs = [run for found in results.values() for case in found.values() for run in case if "version" in run]
    return ", ".join(sorted({f"{run['package']} {run['version']}" for run in runs}))


def draw(results: Results) -> Figure:
    """Time of each model in its fastest mode, one panel for each box."""
    figure = Figure(figsize=(6.5 * len(results), 5), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for panel, (n_atoms, found) in zip(panels, results.items(), strict=True):
        best = [case for model in MODELS if (case := fastest(found, model))]
        best.sort(key=partial(seconds, found), reverse=True)
        times = [1e3 * seconds(found, case) for case in best]
        colors = [COLORS[case.model.environment] for case in best]
        bars = panel.barh([case.label for case in best], times, color=colors)
        panel.bar_label(bars, [f"{time:.2f}" for time in times], padding=2, fontsize=8)
        panel.set(xlabel="ms per atom and step, energy + forces, one thread", title=f"{n_atoms:,} atoms of water")
        panel.margins(x=0.1)
        panel.tick_params(axis="y", labelsize=8)
    return figure
