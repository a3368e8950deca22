"""The block of lines that ``tdn plan`` prints and that LAMMPS prints at the start of a run, and how to read it back."""

from __future__ import annotations

import json
import re
from typing import Any

from tdn.errors import TDNError
from tdn.plan.estimate import estimate
from tdn.plan.rates import Rates
from tdn.plan.workload import ModelSize, System

HEADER = "Pair style tdn: plan, mean (max) per rank"
ATOMS = "atoms"
EDGES = "edges"
GHOSTS = "ghosts"
REMOTE = "remote atoms"
MESSAGES = "messages per layer and direction"
LAYER_MB = "MB per layer and direction"
STEP_MB = "MB per step"
MEMORY_MB = "MB of memory"
STEP_MS = "ms per step"

#: Name in the block, field of the estimate, factor to the unit of the name (MB = 1e6 bytes).
LINES = (
    (ATOMS, "atoms", 1.0),
    (EDGES, "edges", 1.0),
    (GHOSTS, "ghosts", 1.0),
    (REMOTE, "remote", 1.0),
    (MESSAGES, "messages", 1.0),
    (LAYER_MB, "layer_bytes", 1e-6),
    (STEP_MB, "step_bytes", 1e-6),
    (MEMORY_MB, "memory", 1e-6),
    (STEP_MS, "seconds", 1e3),
)
_LINE = re.compile(r"  (\S.*?) +(\S+) \((\S+)\)")

Table = dict[str, tuple[float, float]]


def tabulate(model: ModelSize, system: System, rates: Rates | None = None, imbalance: float = 1.0) -> Table:
    """Mean and maximum over ranks by name, in the units of the names; unknown values are left out.

    In an even system all ranks are alike; the fullest one holds ``imbalance`` times the mean number of atoms, at a
    density higher by the same factor.
    """
    mean, fullest = (estimate(model, system, rates, crowding) for crowding in (1.0, imbalance))
    rows = {name: (getattr(mean, field), getattr(fullest, field), factor) for name, field, factor in LINES}
    return {name: (a * factor, b * factor) for name, (a, b, factor) in rows.items() if a is not None}


def describe(model: ModelSize, system: System) -> str:
    """One line that describes the planned run."""
    grid, block = (" x ".join(f"{x:.4g}" for x in triple) for triple in (system.grid, system.block))
    return (
        f"{model.name}: {len(model.layer_widths)} layers, cutoff {model.cutoff:g} + {system.skin:g} angstrom; "
        f"{grid} ranks, each {block} angstrom, {system.density:.4g} atoms per cubic angstrom"
    )


def as_json(model: ModelSize, system: System, values: Table, remark: str) -> str:
    """Everything with all digits."""
    content: dict[str, Any] = {
        "model": vars(model) | {"bytes_per_number": model.bytes_per_number},
        "system": vars(system) | {"density": system.density, "block": system.block},
        "per_rank": {name: {"mean": mean, "max": largest} for name, (mean, largest) in values.items()},
        "remark": remark,
    }
    return json.dumps(content, indent=1)


def format_plan(values: Table) -> str:
    """The block as text, without a line end after the last line."""
    rows = [f"  {name:<34}{mean:>12.4g} ({largest:.4g})" for name, (mean, largest) in values.items()]
    return "\n".join([HEADER, *rows])


def parse_plan(text: str) -> Table:
    """Mean and maximum by name, from the last block in the output of ``tdn plan`` or of LAMMPS.

    Raises:
        TDNError: there is no such block.
    """
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if line.rstrip() == HEADER]
    if not starts:
        raise TDNError(f"the text holds no line '{HEADER}'; give the output of a run with pair_style tdn")
    values: Table = {}
    for line in lines[starts[-1] + 1 :]:
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            break
        values[match[1]] = (float(match[2]), float(match[3]))
    return values
