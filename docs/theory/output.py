"""Where figures and tables go, and how they look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

FOLDER = Path(__file__).parent
GROUP = {"so3": "SO(3), all paths", "o3": "O(3), even paths"}
COLOR = {"so3": "tab:blue", "o3": "tab:orange"}


def schedules(l_max: int) -> dict[str, int]:
    """Ranks that the paper tries (Sec. 4.1); the logarithmic one as its code rounds it, 0 at l_max 1."""
    return {"7L": 7 * l_max, "7L²": 7 * l_max**2, "16 ln²": LOGARITHMIC[l_max], "(L+1)⁴": (l_max + 1) ** 4}


#: 16 int(ln(L + 1)^2)
LOGARITHMIC = {1: 0, 2: 16, 3: 16, 4: 32}


def save(figure: Figure, name: str) -> None:
    """Write ``name.png``; no date in it, so that the same numbers make the same file."""
    figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})


def write_table(name: str, remark: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write ``name.md``."""
    lines = [remark, "", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    (FOLDER / f"{name}.md").write_text("\n".join(lines) + "\n")


def finish(axes: Axes, x_label: str, y_label: str, title: str) -> None:
    """Labels and a light grid."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25, linewidth=0.5)
