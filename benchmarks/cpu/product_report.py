"""Table, figure and conclusions of tensor_products.py, all from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

FULLY, BY_PATH = "e3nn, fully connected", "e3nn, path by path, one weight"
HADAMARD, CP_EDGE = "CP, Hadamard form (Eq. 4)", "CP, edge matrix"
EDGE, EDGE_LINEAR = "exact, edge matrix", "exact, edge matrix, linear"
DENSE, SPARSE = "exact, dense", "exact, sparse"
#: Figure 3c of the paper as its text gives it: times that CP is faster than e3nn's fully connected product, on a GPU.
PAPER = (4.0, 4.8, 15.0, 26.7, 47.6, 83.6)
#: Times that differ by less count as equal.
EQUAL = 0.05


@dataclass
class Measured:
    """One form at one l_max, per row."""

    n_rows: int
    seconds: float
    multiplications: float
    error: float | None  #: None where the CP factors are random


Results = dict[int, dict[str, Measured]]


def table(results: Results) -> list[str]:
    """One row per l_max and form."""
    lines = [
        "| l_max | form | us per row | rows at once | multiplications per row | 10^9 per second | equivariance error |",
        "|---|---|---|---|---|---|---|",
    ]
    for l_max, found in results.items():
        for name, m in found.items():
            error = "random factors" if m.error is None else f"{m.error:.1e}"
            lines.append(
                f"| {l_max} | {name} | {1e6 * m.seconds:.3g} | {m.n_rows} | {m.multiplications:,.0f} | "
                f"{m.multiplications / m.seconds / 1e9:.1f} | {error} |"
            )
    return lines


def seconds(name: str) -> Callable[[dict[str, Measured]], float]:
    """Time of a form."""
    return lambda found: found[name].seconds


def multiplications(name: str) -> Callable[[dict[str, Measured]], float]:
    """Arithmetic of a form."""
    return lambda found: found[name].multiplications


def best_exact(found: dict[str, Measured]) -> float:
    """Time of the faster exact contraction of two operands of many channels."""
    return min(found[DENSE].seconds, found[SPARSE].seconds)


def ratio(
    results: Results,
    above: Callable[[dict[str, Measured]], float],
    below: Callable[[dict[str, Measured]], float],
) -> list[float]:
    """One number for each l_max."""
    return [above(found) / below(found) for found in results.values()]


def listed(numbers: Sequence[float]) -> str:
    """Numbers in the order of l_max."""
    return ", ".join(f"{number:.3g}" for number in numbers)


def verdict(ratios: Sequence[float]) -> str:
    """Where the form below the line is faster: ``faster at l_max 1, 2, slower at 3``."""
    places: dict[str, list[str]] = {"faster": [], "equally fast": [], "slower": []}
    for l_max, value in enumerate(ratios, start=1):
        word = "equally fast" if abs(value - 1) <= EQUAL else "faster" if value > 1 else "slower"
        places[word].append(str(l_max))
    return ", ".join(f"{word} at l_max {' '.join(found)}" for word, found in places.items() if found)


def conclusions(one: Results, many: Results) -> list[str]:
    """Ratios of times, in the order of l_max, and what they say."""
    cp = ratio(one, seconds(HADAMARD), seconds(EDGE))
    arithmetic = ratio(one, multiplications(HADAMARD), multiplications(EDGE))
    executed = ratio(one, seconds(CP_EDGE), seconds(EDGE))
    exact = ratio(many, seconds(HADAMARD), best_exact)
    pairs = ratio(many, seconds(BY_PATH), seconds(HADAMARD))
    return [
        "Ratios are listed in the order of l_max.",
        "",
        "One channel:",
        f"- CP in the Hadamard form over the exact edge matrix: {listed(cp)} in time, {listed(arithmetic)} in "
        f"multiplications. The exact one is {verdict(cp)}.",
        f"- The edge matrix by CP factors, which the published code executes, over the exact one: {listed(executed)}. "
        f"The exact one is {verdict(executed)}.",
        f"- e3nn's fully connected product over CP in the Hadamard form: "
        f"{listed(ratio(one, seconds(FULLY), seconds(HADAMARD)))} (paper, on a GPU: {listed(PAPER[: len(one)])}); "
        f"over the exact edge matrix: {listed(ratio(one, seconds(FULLY), seconds(EDGE)))}; over the exact edge matrix "
        "and one linear map behind it, which mixes channels as the fully connected product does: "
        f"{listed(ratio(one, seconds(FULLY), seconds(EDGE_LINEAR)))}.",
        f"- e3nn's product path by path over the exact edge matrix, the same function: "
        f"{listed(ratio(one, seconds(BY_PATH), seconds(EDGE)))}.",
        "",
        "Many channels:",
        f"- CP in the Hadamard form over the faster exact contraction: {listed(exact)}. The exact one is "
        f"{verdict(exact)}.",
        f"- e3nn's product path by path over CP: {listed(pairs)}. CP is {verdict(pairs)}.",
        "- e3nn's fully connected product, which multiplies every channel with every channel, over CP, which does not: "
        f"{listed(ratio(many, seconds(FULLY), seconds(HADAMARD)))}.",
        "",
        judgment(one, cp, exact),
    ]


def judgment(one: Results, cp: Sequence[float], exact: Sequence[float]) -> str:
    """The answer to the question, as the numbers have it."""
    errors = [found[HADAMARD].error for found in one.values() if found[HADAMARD].error is not None]
    if min(cp) > 1 + EQUAL:
        first = (
            "With one channel in the second operand the speed over e3nn is that of one matrix for all paths and of the "
            f"weight they share; the decomposition itself makes the product {min(cp):.1f} to {max(cp):.1f} times "
            "slower."
        )
    else:
        first = f"With one channel in the second operand the exact edge matrix is {verdict(cp)} than CP."
    wins = [str(l_max) for l_max, value in enumerate(exact, start=1) if value < 1 - EQUAL]
    second = (
        f"With many channels CP is faster than both exact contractions of torch at l_max {' '.join(wins)}, up to "
        f"{1 / min(exact):.1f} times, by running as dense matrix products in spite of more arithmetic."
        if wins
        else "With many channels CP is not faster than the exact contractions either."
    )
    digits = ", ".join(f"{error:.0e}" for error in errors)
    third = f"The equivariance error of CP at rank 7 l_max^2 is {digits} from l_max 1 on, where factors are known."
    return " ".join([first, second, third])


def draw(one: Results, many: Results) -> Figure:
    """Time per row against l_max."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = ("one channel in the second operand", "many channels in both")
    for panel, results, title in zip(panels, (one, many), titles, strict=True):
        for name in next(iter(results.values())):
            times = [1e6 * found[name].seconds for found in results.values()]
            panel.semilogy(list(results), times, "o-", label=name)
        panel.set(xlabel="l_max", ylabel="us per row", title=title)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    return figure
