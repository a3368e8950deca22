"""How far would it scale? 10^6 to 10^10 atoms on 8 to 16,384 GPUs, on paper: counts computed, speeds assumed.

Question: at how many atoms per GPU do messages and the atoms of other ranks begin to count? Nothing here is measured:
atoms, remote atoms and bytes come from `tdn plan`'s formulas, times from the aims and the network in ASSUMED.

Usage: python benchmarks/plan_table.py [--write docs/scaling.md]     (replaces what is between the marks in that file)
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

from tdn.plan import Estimate, ModelSize, Rates, System, estimate
from tdn.plan.geometry import shell_volume

#: C = 128, l_max = 1, four layers: rows of 4 x 128 numbers. Silicon: 19 neighbors within 4.5 angstrom.
MODEL = ModelSize("aim", cutoff=4.5, layer_widths=(512,) * 4, dtype="float32")
DENSITY = 0.05
#: Aims of the fused engine (0.9 us and 26 KB per atom, edges included), rows and gradients of remote atoms in four
#: layers, and a network port of 50 GB/s per GPU of which half is reached.
ASSUMED = Rates(
    model="aim",
    device="cuda",
    threads=1,
    dtype="float32",
    date="not measured",
    edges_per_atom=19.0,
    seconds_fixed=0.0,
    seconds_per_atom=0.9e-6,
    seconds_per_edge=0.0,
    bytes_fixed=1e9,
    bytes_per_atom=26e3,
    bytes_per_edge=0.0,
    bytes_per_remote=5 * 512 * 4,
    message_latency=10e-6,
    bandwidth=25e9,
)
GPU_BYTES = 80e9
GPUS = (8, 64, 512, 4096, 16384)
ATOMS = (10**6, 10**7, 10**8, 10**9, 10**10)
MARKS = "<!-- table: {name} -->", "<!-- end of table -->"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table with its columns aligned."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = [head, ["-" * (width - 1) + ":" for width in widths], *rows]
    return "\n".join("| " + " | ".join(f"{c:>{w}}" for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def count(number: float) -> str:
    """Three digits and thousands."""
    digits = max(0, 2 - math.floor(math.log10(abs(number)))) if 0 < abs(number) < 100 else 0
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.{digits}f}"


def efficiency(plan: Estimate) -> float:
    """Share of a step that is not spent on messages, without any overlap of the two."""
    assert plan.seconds is not None and plan.exchange_seconds is not None
    return 1 - plan.exchange_seconds / plan.seconds


def scaling_table() -> str:
    """Every system on every number of GPUs."""
    head = ["atoms", "GPUs", "atoms per GPU", "ghosts", "remote atoms", "MB per layer", "messages", "GB per GPU"]
    head += ["fits 80 GB", "compute ms", "exchange ms", "efficiency"]
    rows = []
    for n_atoms in ATOMS:
        for n_gpus in GPUS:
            plan = estimate(MODEL, System.make(n_atoms, n_gpus, DENSITY), ASSUMED)
            assert plan.memory is not None and plan.seconds is not None and plan.exchange_seconds is not None
            row = [f"10^{round(math.log10(n_atoms))}", f"{n_gpus:,}"]
            row += [count(x) for x in (plan.atoms, plan.ghosts, plan.remote, plan.layer_bytes / 1e6)]
            row += [f"{plan.messages:.0f}", count(plan.memory / 1e9), "yes" if plan.memory <= GPU_BYTES else "no"]
            row += [count(1e3 * (plan.seconds - plan.exchange_seconds)), count(1e3 * plan.exchange_seconds)]
            rows.append([*row, f"{efficiency(plan):.1%}"])
    return markdown(head, rows)


def surface_table() -> str:
    """One cubic block of 512: what surrounds it, and what half as many bytes or twice the bandwidth would change."""
    head = ["atoms per GPU", "side, angstrom", "remote by owned", "ghosts by owned", "ghosts of 4 cutoffs by owned"]
    head += ["share of latency", "efficiency", "with bfloat16 messages"]
    half = dataclasses.replace(MODEL, wire="bfloat16")
    rows = []
    for atoms in (500, 2_000, 10_000, 50_000, 200_000, 1_000_000, 2_500_000):
        system = System.make(512 * atoms, 512, DENSITY)
        plan, light = (estimate(model, system, ASSUMED) for model in (MODEL, half))
        assert plan.seconds is not None
        thick = DENSITY * shell_volume(system.block, len(MODEL.layer_widths) * MODEL.cutoff + system.skin)
        latency = MODEL.exchanges * plan.messages * ASSUMED.message_latency / plan.seconds
        rows.append(
            [
                f"{atoms:,}",
                f"{system.block[0]:.0f}",
                *(count(x / plan.atoms) for x in (plan.remote, plan.ghosts, thick)),
                f"{latency:.1%}",
                f"{efficiency(plan):.1%}",
                f"{efficiency(light):.1%}",
            ]
        )
    return markdown(head, rows)


TABLES = {"scaling": scaling_table, "surface": surface_table}


def replaced(text: str) -> str:
    """A document with its tables rewritten."""
    for name, table in TABLES.items():
        begin, end = (mark.format(name=name) for mark in MARKS)
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table()}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Print the tables, or put them into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="document that holds the marks")
    options = parser.parse_args()
    if options.write:
        options.write.write_text(replaced(options.write.read_text()))
    else:
        print("\n\n".join(table() for table in TABLES.values()))


if __name__ == "__main__":
    main()
