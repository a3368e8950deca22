"""A long run of water on four ranks that are rebalanced all the time, compared with the same run on one rank.

Question: does the conserved quantity of NVT drift more on 4 ranks with `fix balance` every 100 steps than on one rank,
and does the memory of the processes grow? 192 atoms, shipped model, 10,000 steps of 0.5 fs at 330 K by default.

Usage: python benchmarks/cpu/long_water.py [--steps N] [--output FILE]
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from report import machine, parser, publish

WATER = Path(__file__).parents[2] / "examples" / "water"
BIN = Path(sys.executable).parent
INPUT = """
units metal
atom_style atomic
{before}
read_data {folder}/data.water
pair_style tdn device cpu
pair_coeff * * {folder}/water.tdn.pt O H
timestep 0.0005
fix 1 all nvt temp 330 330 0.05
{balance}
thermo 100
thermo_style custom step temp pe etotal econserve
thermo_modify format float %.10g
run {steps}
"""
BALANCE = "fix 2 all balance 100 1.0 rcb"


def resident(pids: list[int]) -> float:
    """MB that processes hold, 0 once they have ended."""
    total = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        total += int((re.findall(r"VmRSS:\s+(\d+)", status) or ["0"])[0])
    return total / 1e3


def ranks_of(parent: int) -> list[int]:
    """Processes named lmp below a process."""
    found, waiting = [], [parent]
    while waiting:
        pid = waiting.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            children = [int(word) for word in task.read_text().split()]
            waiting += children
            found += [c for c in children if "liblammps" in Path(f"/proc/{c}/maps").read_text()]
    return found


def watch(process: subprocess.Popen[str], samples: list[float]) -> None:
    """Sample the memory of all ranks every five seconds."""
    time.sleep(5)
    while process.poll() is None:
        with contextlib.suppress(OSError):  # a rank has just ended
            samples.append(resident(ranks_of(process.pid)))
        time.sleep(5)


def run(n_ranks: int, steps: int) -> tuple[np.ndarray, list[float], int]:
    """Thermo rows (step, temp, pe, etotal, econserve), memory samples in MB, rebuilds of the neighbor lists."""
    tiled = n_ranks > 1
    text = INPUT.format(
        folder=WATER,
        steps=steps,
        before="comm_style tiled" if tiled else "",
        balance=BALANCE if tiled else "",
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.long").write_text(text)
        command = [BIN / "mpirun", "-n", str(n_ranks), BIN / "lmp", "-in", "in.long", "-log", "none"]
        samples: list[float] = []
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            watcher = threading.Thread(target=watch, args=(process, samples))
            watcher.start()
            assert process.stdout is not None
            output = process.stdout.read()
            watcher.join()
    if process.returncode != 0:
        sys.exit(output)
    rows = [
        [float(w) for w in line.split()] for line in output.splitlines() if re.match(r"\s+\d+(\s+\S+){4}\s*$", line)
    ]
    builds = int(re.findall(r"Neighbor list builds = (\d+)", output)[-1])
    return np.array(rows), [s for s in samples if s > 0], builds


def main() -> None:
    """Run both and print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=10000)
    options = arguments.parse_args()
    lines = [
        f"# {options.steps:,} steps of water under NVT",
        "",
        f"{machine()}; 192 atoms, 330 K, 0.5 fs, float32. Made by `benchmarks/cpu/long_water.py`.",
        "4 ranks: tiled, `fix balance` (rcb) every 100 steps.",
        "",
        "| ranks | drift of the conserved quantity, eV/atom/ps | its rms about the line, eV/atom | list rebuilds |"
        " memory after a fifth, MB | at the end, MB |",
        "|---|---|---|---|---|---|",
    ]
    for n_ranks in (1, 4):
        rows, memory, builds = run(n_ranks, options.steps)
        rows = rows[len(rows) // 10 :]
        line, covariance = np.polyfit(rows[:, 0] * 0.0005, rows[:, 4] / 192, 1, cov=True)
        scatter = np.std(rows[:, 4] / 192 - np.polyval(line, rows[:, 0] * 0.0005))
        early, late = memory[len(memory) // 5], memory[-1]
        lines.append(
            f"| {n_ranks} | {line[0]:.1e} +- {np.sqrt(covariance[0, 0]):.1e} | {scatter:.1e} | {builds} | "
            f"{early:.0f} | {late:.0f} |"
        )
        print(lines[-1], flush=True)
    publish(lines, options.output)


if __name__ == "__main__":
    main()
