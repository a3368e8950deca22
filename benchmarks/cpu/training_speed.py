"""Training steps of the trainer against the published order of operations, on the same batches: snapshots/s and memory.

Question: how many molecules of about 36 atoms does a training step (loss, its gradient by the weights, Adam) take per
second, and how much memory, in the published code's order of operations with its loss, in our trainer with the same
model (paper setting), and in our trainer with the md setting? With direct forces and with gradient forces, eager and
with the whole step compiled.

Predicted: our order needs half of the matrix products, so up to twice the speed where products take the time; an eager
step is bound by memory, so less; compiling joins the operations between products.

The published order is benchmarks/cpu/published_model.py with weights of its own; tests/python/test_paper_training.py
compares its loss and gradients with ours. Dropout is on in the paper setting. Every code runs in a fresh process; times
are medians over steps after each batch was seen once, CPU time with one thread, else wall time; memory is the peak of
the process (of the device on a GPU) during these steps less what it held between steps. Neither has data loading in it.

Usage: python benchmarks/cpu/training_speed.py [--device cuda] [--threads N] [--batch-size N] [--channels C]
       [--layers N] [--no-compile] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from report import machine, parser, publish

CODES = {
    "published paper direct": "published order of operations, direct forces",
    "ours paper direct": "trainer, paper setting, direct forces",
    "ours paper direct compiled": "the same, compiled",
    "published paper gradient": "published order of operations, gradient forces",
    "ours paper gradient": "trainer, paper setting, gradient forces",
    "ours paper gradient compiled": "the same, compiled",
    "ours md gradient": "trainer, md setting, gradient forces",
    "ours md gradient compiled": "the same, compiled",
}


def options() -> argparse.Namespace:
    """Command line."""
    made = parser(__doc__)
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--threads", type=int, default=1, help="of torch")
    made.add_argument("--batch-size", type=int, default=8)
    made.add_argument("--batches", type=int, default=2)
    made.add_argument("--repeats", type=int, default=3, help="passes over the batches that are timed")
    made.add_argument("--channels", type=int, default=128)
    made.add_argument("--layers", type=int, default=4)
    made.add_argument("--gaussians", type=int, default=128)
    made.add_argument("--no-compile", action="store_true", help="leave the compiled steps out")
    return made.parse_args()


def measure(code: str, settings: dict[str, Any]) -> dict[str, float] | None:
    """Seconds and bytes of a step in a fresh process; None if it failed."""
    command = [sys.executable, str(Path(__file__).with_name("training_step.py")), code, json.dumps(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings["threads"]), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as cache:
        environment["TORCHINDUCTOR_CACHE_DIR"] = cache
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{code}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def row(code: str, found: dict[str, float] | None, base: dict[str, float] | None, batch_size: int) -> str:
    """Line of the table."""
    if found is None:
        return f"| {CODES[code]} | failed | | | | |"
    faster = f"{base['seconds'] / found['seconds']:.2f}" if base else ""
    less = f"{base['memory'] / found['memory']:.2f}" if base else ""
    speed, memory = batch_size / found["seconds"], found["memory"] / batch_size / 2**20
    begin = f"{found['first']:.0f}" if "compiled" in code else ""
    return f"| {CODES[code]} | {speed:.2f} | {faster} | {memory:.0f} | {less} | {begin} |"


def main() -> None:
    """Measure all codes, write the table."""
    args = options()
    settings = {
        "device": args.device,
        "threads": args.threads,
        "batch_size": args.batch_size,
        "n_batches": args.batches,
        "repeats": args.repeats,
        "n_channels": args.channels,
        "n_layers": args.layers,
        "n_radial": args.gaussians,
        "l_max": 1,
        "cutoff": 4.5,
    }
    codes = [code for code in CODES if not (args.no_compile and "compiled" in code)]
    found = {code: measure(code, settings) for code in codes}
    known = next(values for values in found.values() if values is not None)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} thread(s)"
    lines = [
        "# Training steps: the trainer against the published order of operations",
        "",
        f"{machine()}, {where}. Made by `benchmarks/cpu/training_speed.py`.",
        f"Batches of {args.batch_size} molecules of {known['atoms']:.1f} atoms with {known['degree']:.1f} neighbors; "
        f"C = {args.channels}, l_max 1, {args.layers} layers, {args.gaussians} Gaussians (md: 8 Bessel functions), "
        "4.5 angstrom, float32, Adam. Random weights.",
        "Times faster and less memory: than the published order with the same kind of forces. Compiling: wall time "
        "until all batches were seen once, without any cache; other work ran on the machine.",
        "",
        "| code | snapshots/s | times faster | MB per snapshot | times less memory | s for compiling |",
        "|---|---|---|---|---|---|",
    ]
    for code in codes:
        base = found.get("published paper direct" if "direct" in code else "published paper gradient")
        lines.append(row(code, found[code], base, args.batch_size))
    publish(lines, args.output)


if __name__ == "__main__":
    main()
