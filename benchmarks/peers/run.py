"""TDN beside other message-passing potentials: time of energy and forces on a CPU, one thread.

Question: is a deployed TDN at least twice as fast as the fastest of MACE, NequIP, Allegro, SevenNet and TorchMD-Net at
equal channels (128), l_max (1), cutoff (4.5 angstrom) and layers, each in its fastest mode?

Every package runs in a virtual environment of its own (made on first use from pinned versions, about 1.5 GB each)
with random weights in float32. Models run in alternation in fresh processes, all with an allocator that keeps freed
pages; times are CPU times, medians of the repeats, without neighbor search. Forces in the modes of one model are
compared; a mode that fails, takes more than --patience or gives other forces is listed with its reason. On every box
but the first, each model runs in its fastest mode and its fastest documented one only, and not at all where it would
take more memory than --limit.

Usage: python benchmarks/peers/run.py [--environments FOLDER] [--repeats N] [--only WORD ...] [--output FILE]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ase.io import read
from cases import CASES, MODELS, Case
from environments import InstallationError, python_of
from table import Found, Results, documented, draw, failures, fastest, good, median, tables, versions

sys.path.append(str(Path(__file__).parents[1] / "cpu"))
from report import machine, parser, publish

ROOT = Path(__file__).parents[2]
STRUCTURES = [ROOT.parent / "shared" / "data" / "bench" / f"water{n}.xyz" for n in (192, 1152)]
#: How an adapter's line begins; packages print lines of their own.
MARK = '{"package"'
#: Relative difference of the forces' root mean square between modes of one model, float32.
AGREEMENT = 1e-3
#: One thread, and glibc's allocator as the pair style and tdn's training set it.
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
NOTES = """
Energy and forces; 128 channels, l_max 1, 4.5 angstrom, float32, random weights, 1 thread, the same boxes of liquid
water. Everything else as each package has it: MACE with correlation 3 and its max_ell of 3 (spherical harmonics of the
edges) or 1; NequIP and SevenNet with both parities of each degree, their default, or one as all others have; Allegro
with 128 scalar and 128 tensor features; TensorNet has tensors of rank 2. The symmetrix engine for MACE is in no package
registry and was not run. Arithmetic: matrix products of the forward and backward pass of the eager model as torch
executes them; elementwise work is not counted, nor what an engine recomputes. Memory: peak of an evaluation. Bold: the
fastest mode of a model. TDN: its archive called from Python.
"""


def environment_of(folder: Path) -> dict[str, str]:
    """Variables of an adapter; compilers keep their files in the folder."""
    caches = {"TORCHINDUCTOR_CACHE_DIR": folder / "cache" / "inductor", "WARP_CACHE_PATH": folder / "cache" / "warp"}
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | SETTINGS | {key: str(path) for key, path in caches.items()}


def evaluate(case: Case, structure: Path, options: Namespace) -> dict[str, Any]:
    """One fresh process; an error is a result."""
    folder = options.environments.resolve()
    try:
        python = python_of(folder, case.model.environment)
    except InstallationError as problem:
        return {"error": str(problem)}
    adapter = Path(__file__).with_name(case.model.adapter)
    cache = folder / "cache" / case.model.environment
    command = [str(python), str(adapter), case.model.arguments, case.mode, str(structure), str(cache)]
    try:
        done = subprocess.run(
            command, env=environment_of(folder), capture_output=True, text=True, timeout=options.patience
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {options.patience} s"}
    said = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode != 0 or not said:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"ended with code {done.returncode}: {last}"}
    return json.loads(said[-1])


def check(found: Found, case: Case, run: dict[str, Any]) -> dict[str, Any]:
    """The result, or an error where the forces are not those of the first mode of the model."""
    first = next((other for other in CASES if other.model == case.model), case)
    reference = median(found, first, "force")
    if "error" in run or reference is None:
        return run
    difference = abs(run["force"] / reference - 1)
    if difference <= AGREEMENT:
        return run
    return {"error": f"forces differ from those of mode {first.mode} by {difference:.1e} (relative)"}


def repeat(cases: list[Case], structure: Path, options: Namespace) -> Found:
    """All cases in turn, again and again; one that failed is not tried again."""
    found: Found = {case: [] for case in cases}
    for _ in range(options.repeats):
        for case in cases:
            if len(good(found[case])) == len(found[case]):
                run = check(found, case, evaluate(case, structure, options))
                found[case].append(run)
                said = run.get("error") or f"{1e3 * run['seconds']:.3f} ms per atom"
                print(f"{structure.stem}: {case.label}: {said}", file=sys.stderr, flush=True)
    return found


def affordable(first: Found, n_atoms: int, limit: float) -> tuple[list[Case], Found]:
    """Fastest modes of each model, and those that would take too much memory, by what they took on the first box."""
    cases: list[Case] = []
    refused: Found = {}
    for case in quickest(first):
        needed = n_atoms * (median(first, case, "memory") or 0.0) / 1e9
        if needed <= limit:
            cases.append(case)
        else:
            refused[case] = [{"error": f"would take {needed:.0f} GB, limit {limit:.0f} GB"}]
    return cases, refused


def quickest(found: Found) -> list[Case]:
    """The fastest mode of each model, and the fastest documented one."""
    kinds = ({case: found[case] for case in some} for some in (list(found), documented(list(found))))
    best = {fastest(kind, model) for kind in kinds for model in MODELS}
    return [case for case in CASES if case in best]


def measure(options: Namespace) -> tuple[Results, list[str]]:
    """Results by number of atoms, and what is to be said of boxes that are not there."""
    results: Results = {}
    missing = [f"{path.name} is not there, its box was skipped." for path in options.structures if not path.is_file()]
    chosen = [case for case in CASES if not options.only or any(word in case.label for word in options.only)]
    for structure in filter(Path.is_file, options.structures):
        n_atoms = len(read(structure))
        first = results[min(results)] if results else None
        cases, refused = affordable(first, n_atoms, options.limit) if first else (chosen, {})
        results[n_atoms] = repeat(cases, structure, options) | refused
    return results, missing


def main() -> None:
    """Install what is missing, measure in alternation, write table and figure."""
    arguments = parser(__doc__)
    arguments.set_defaults(output=ROOT / "benchmarks" / "results" / "peers.md")
    arguments.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="folder of all")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--structures", type=Path, nargs="+", default=STRUCTURES, help="smallest first")
    arguments.add_argument("--only", nargs="+", help="words; run what has one of them in its name")
    arguments.add_argument("--limit", type=float, default=10.0, help="GB that an evaluation may take")
    arguments.add_argument("--patience", type=int, default=600, help="seconds that one process may take")
    options = arguments.parse_args()
    results, missing = measure(options)
    if not results:
        sys.exit(" ".join(missing))
    lines = [
        "# TDN beside other potentials on a CPU",
        "",
        f"{machine()}. {versions(results)}.",
        f"Made by `benchmarks/peers/run.py`, medians of {options.repeats}.",
        *NOTES.splitlines(),
        *missing,
        *tables(results),
        *failures(results),
    ]
    publish(lines, options.output, draw(results))


if __name__ == "__main__":
    main()
