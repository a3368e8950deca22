"""The published model in its own order of operations against ours, eager and deployed in LAMMPS: time and memory.

Question: how much faster, and in how much less memory, do our implementations give energy and gradient forces of the
same model (C = 128, l_max 1, 4 layers, 4.5 angstrom, float32, random weights) on boxes of water? Aims for the archive
in LAMMPS: at least 15 times faster, at most 1/200 of the memory.

Predicted: at 37.8 edges per atom the published order multiplies matrices for 154 MFLOP per atom and step, the rewritten
one for 77; an eager program on one core runs at 50-100 GFLOP/s and, as its arrays of n_edges x d x C leave the caches,
is bound by memory: 4-9 and 2-3 ms per atom. Its memory is some 20 such arrays per layer, 6 MB per atom.

Before anything is timed, energies and forces of the published order are compared with our eager model in float64. Times
are CPU times of one thread, medians of fresh processes that run in alternation; memory is the peak of a process less
what it held before its first evaluation. The published order is timed as it is and with an allocator that keeps freed
pages, as ours do; memory is compared with the smaller of both. Python's times are without neighbor search, LAMMPS's are
whole steps. A size that would take more memory than --limit, judged by the smaller sizes, is not run.

Usage: python benchmarks/cpu/published_order.py [--repeats N] [--atoms N ...] [--limit GB] [--output FILE]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from published_model import PublishedOrder
from random_model import ELEMENTS, SIZE, perturbed, random_md, size_text
from report import machine, parser, publish, verdict
from step_worker import COPIES

from tdn.architectures import default_dtype
from tdn.checkpoints import save_model
from tdn.deployment import write_archive
from tdn.deployment.verify import random_graph
from tdn.model import TDN, ModelConfig

CODES = {
    "published": "published order of operations",
    "published, tuned": "the same, allocator keeps pages",
    "eager": "ours, eager PyTorch, paper setting",
    "LAMMPS paper": "deployed in LAMMPS, paper setting",
    "LAMMPS md": "deployed in LAMMPS, md setting",
}
AGREEMENT = 1e-9
#: Aims for the archive in LAMMPS: times faster, times less memory.
FASTER, SMALLER = 15, 200
#: Bytes that a fresh process may take more than the smaller sizes tell.
MARGIN = 1.1


def make_models(folder: Path) -> dict[str, Path]:
    """Files of each code, after the comparison of the published order with ours; all weights and biases are random."""
    torch.manual_seed(0)
    with default_dtype("float64"):
        options = {"cp_rank": 7, "direct_forces": False, "forces": "gradient"}
        paper = perturbed(TDN(ModelConfig.paper(ELEMENTS, **SIZE, **options)).eval())
    check(paper)
    save_model(paper, folder / "paper.ckpt", {})
    for name, model in (("paper", paper), ("md", random_md())):
        write_archive(model, folder / f"{name}.tdn.pt", torch.float32)
    return {code: folder / (f"{code[7:]}.tdn.pt" if code.startswith("LAMMPS") else "paper.ckpt") for code in CODES}


def check(model: TDN) -> None:
    """Refuse to time something that computes something else."""
    graph = random_graph(model, 24, seed=0)
    expected, (energy, forces) = model(graph, forces="gradient"), PublishedOrder(model)(graph)
    for name, found, wanted in (("energy", energy, expected.energy), ("forces", forces, expected.forces)):
        error = float((found - wanted).abs().max() / wanted.abs().max())
        if not error <= AGREEMENT:
            sys.exit(f"the {name} of the published order differ by {error:.1e} (relative) from our model's; no timing")


def evaluate(code: str, model: Path, n_atoms: int) -> dict[str, float]:
    """One fresh process: seconds per evaluation, bytes, edges per atom, operations; per atom."""
    n_evaluations = max(3, min(10, 3000 // n_atoms))
    command = [sys.executable, str(Path(__file__).with_name("step_worker.py"))]
    command += [code, str(model), str(n_atoms), str(n_evaluations)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        sys.exit(f"{code} at {n_atoms} atoms failed:\n{done.stdout}{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {key: value if key == "edges" else value / n_atoms for key, value in found.items()}


Results = dict[int, dict[str, dict[str, float]]]


def measure(models: dict[str, Path], sizes: list[int], repeats: int, limit: float) -> Results:
    """Medians per atom by size and code; a code that would exceed the limit (bytes) is missing at that size."""
    results: Results = {}
    for n_atoms in sizes:
        needs = {code: MARGIN * n_atoms * largest(results, code).get("memory", 0.0) for code in CODES}
        runs: dict[str, list[dict[str, float]]] = {code: [] for code in CODES if needs[code] <= limit}
        for _ in range(repeats):
            for code, found in runs.items():
                found.append(evaluate(code, models[code], n_atoms))
                print(f"{n_atoms} atoms, {code}: {found[-1]}", file=sys.stderr, flush=True)
        results[n_atoms] = {
            code: {key: statistics.median(run[key] for run in found) for key in found[0]}
            for code, found in runs.items()
        }
    return results


def largest(results: Results, code: str) -> dict[str, float]:
    """Figures at the largest size that a code ran at."""
    ran = [n_atoms for n_atoms, found in results.items() if code in found]
    return results[max(ran)][code] if ran else {}


def published(results: Results, n_atoms: int, code: str) -> dict[str, float]:
    """Figures of a published row, carried over from a smaller size where it was not run."""
    return results[n_atoms].get(code) or largest(results, code)


def ratios(results: Results, n_atoms: int, code: str) -> tuple[float, float, float]:
    """Time of the published order, as it is and tuned, and the smaller of their memories, over those of a code."""
    plain, tuned = (published(results, n_atoms, name) for name in ("published", "published, tuned"))
    row = results[n_atoms][code]
    memory = min(plain["memory"], tuned["memory"]) / row["memory"]
    return plain["seconds"] / row["seconds"], tuned["seconds"] / row["seconds"], memory


def table(results: Results) -> list[str]:
    """One row per size and code; ~ marks what is carried over from a smaller size."""
    lines = [
        "| atoms | code | ms per atom and step | KB per atom | times faster than published | than published, tuned |"
        " times less memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for n_atoms, found in results.items():
        mark = "" if "published" in found else "~"
        for code, name in CODES.items():
            if code in found:
                row, (plain, tuned, memory) = found[code], ratios(results, n_atoms, code)
                figures = f"{1e3 * row['seconds']:.3f} | {row['memory'] / 1e3:.1f}"
                figures += f" | {mark}{plain:.1f} | {mark}{tuned:.1f} | {mark}{memory:.1f}"
            else:
                old = largest(results, code)
                figures = f"not run, would take {old['memory'] * n_atoms / 1e9:.0f} GB"
                figures += f" | ~{old['memory'] / 1e3:.1f} | | | "
            lines.append(f"| {n_atoms:,} | {name} | {figures} |")
    return lines


def summary(results: Results) -> list[str]:
    """Arithmetic, and the aims, at the largest size that the published order ran at."""
    smallest = results[min(results)]
    lines = []
    if "flops" in smallest["eager"]:
        flops = [smallest[code]["flops"] / 1e6 for code in ("published", "eager")]
        edges = smallest["eager"]["edges"]
        lines.append(
            f"Matrix products, per atom and step: {flops[0]:.0f} MFLOP in the published order, {flops[1]:.0f} in our "
            f"eager model, at {edges:.1f} edges per atom."
        )
    n_atoms = max(n for n, found in results.items() if "published" in found)
    for code in ("LAMMPS paper", "LAMMPS md"):
        plain, tuned, memory = ratios(results, n_atoms, code)
        lines.append(
            f"{n_atoms:,} atoms, {CODES[code]}: {plain:.1f} times faster than the published order "
            f"(aim {FASTER}: {verdict(plain >= FASTER)}), {tuned:.1f} times than the tuned one "
            f"({verdict(tuned >= FASTER)}); memory 1/{memory:.1f} (aim 1/{SMALLER}: {verdict(memory >= SMALLER)})."
        )
    return ["\n\n".join(lines)]


def draw(results: Results) -> Figure:
    """Time and memory per atom against atoms."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, key, unit, label in zip(
        panels, ("seconds", "memory"), (1e3, 1e-3), ("ms per atom and step", "KB per atom"), strict=True
    ):
        for code, name in CODES.items():
            points = [(n, unit * found[code][key]) for n, found in results.items() if code in found]
            panel.loglog(*zip(*points, strict=True), "o-", label=name)
        panel.set(xlabel="atoms", ylabel=label)
        panel.grid(alpha=0.3)
    panels[1].legend(fontsize=8, loc="center")
    return figure


def document(results: Results, repeats: int, limit: float) -> list[str]:
    """Lines of the whole report; the limit in GB."""
    return [
        "# Published order of operations against ours",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/published_order.py`, medians of {repeats}.",
        f"Energy, gradient forces; {size_text()}, float32, random weights; water.",
        f"In float64 the published order and our eager model agree to {AGREEMENT:.0e} of the largest value or better.",
        "Tuned: with an allocator that keeps freed pages, as ours do. Memory is compared with the smaller of both.",
        f"~ marks figures carried over from the largest size that was run (limit {limit:.0f} GB).",
        "",
        *table(results),
        "",
        *summary(results),
    ]


def main() -> None:
    """Check, measure in alternation, print table and ratios."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--atoms", type=int, nargs="+", default=sorted(COPIES), choices=sorted(COPIES))
    arguments.add_argument("--limit", type=float, default=10.0, help="GB that an evaluation may take")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder))
        results = measure(models, sorted(options.atoms), options.repeats, 1e9 * options.limit)
    publish(document(results, options.repeats, options.limit), options.output, draw(results))


if __name__ == "__main__":
    main()
