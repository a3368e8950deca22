"""Molecular dynamics of water on two MPI ranks with the trained model of this folder: what ``make demo`` runs.

Runs 192 and then 1,536 atoms, NVT then NVE, and prints the drift of the energy and the speed; draws the O-O radial
distribution. Everything goes to the folder ``out`` beside this file.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
BIN = Path(sys.executable).parent
#: copies along each axis -> steps of NVT and of NVE
RUNS = {1: (400, 800), 2: (20, 40)}
N_RANKS = 2
N_ATOMS = 192
#: Lines of thermo output: the header, and step, time, temp, pe, etotal, press.
HEADER, ROW = re.compile(r"\s+Step\s"), re.compile(r"\s+\d+(\s+[-+0-9.e]+){5}\s*$")
#: ps; over a shorter time the oscillation of the O-H bonds hides any drift
SHORTEST = 0.1


def run_lammps(copies: int, nvt_steps: int, nve_steps: int) -> str:
    """Run in.water, show its thermo output as it comes, return all of it."""
    options = {"copies": copies, "nvt_steps": nvt_steps, "nve_steps": nve_steps, "out": OUT.name}
    command = [BIN / "mpirun", "-n", N_RANKS, BIN / "lmp", "-in", "in.water", "-log", "none"]
    for name, value in options.items():
        command += ["-var", name, value]
    text = []
    arguments = [str(word) for word in command]
    with subprocess.Popen(arguments, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            text.append(line)
            if HEADER.match(line) or ROW.match(line) or line.startswith(("Pair style tdn", "ERROR", "WARNING")):
                print(line, end="", flush=True)
    if process.returncode != 0:
        sys.exit(f"LAMMPS ended with exit status {process.returncode}:\n" + "".join(text[-20:]))
    return "".join(text)


def last_thermo(output: str) -> np.ndarray:
    """Rows (step, time, temp, pe, etotal, press) of the last run."""
    rows: list[list[float]] = []
    for line in output.splitlines():
        if HEADER.match(line):
            rows = []
        elif ROW.match(line):
            rows.append([float(word) for word in line.split()])
    return np.array(rows)


def slope_with_error(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of a straight line and its standard error, taking the deviations as independent."""
    coefficients, covariance = np.polyfit(x, y, 1, cov=True)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def summarize(output: str, n_atoms: int) -> None:
    """Energy drift (slope of a straight line), its scatter, temperature and speed of the NVE part."""
    rows = last_thermo(output)
    picoseconds, energy = rows[:, 1], rows[:, 4] / n_atoms
    slope, error = slope_with_error(picoseconds, energy)
    speeds = re.findall(r"([\d.]+) timesteps/s", output)
    print(f"{n_atoms} atoms on {N_RANKS} ranks, NVE over {picoseconds[-1] - picoseconds[0]:.3f} ps:")
    drift = f"{slope:.1e} +- {error:.1e} eV/atom/ps" if np.ptp(picoseconds) > SHORTEST else "not measured, too short"
    print(f"  energy drift {drift}; rms fluctuation {np.std(energy):.1e} eV/atom")
    print(f"  mean temperature {rows[:, 2].mean():.0f} K, {speeds[-1]} steps per second")


def draw_rdf(copies: int) -> None:
    """O-O radial distribution averaged over the NVE run."""
    lines = (OUT / f"rdf_{copies}.dat").read_text().splitlines()
    rows = [[float(w) for w in line.split()] for line in lines if len(line.split()) == 4 and not line.startswith("#")]
    table = np.array(rows).reshape(-1, 100, 4).mean(axis=0)
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.plot(table[:, 1], table[:, 2])
    axes.axhline(1.0, color="gray", linewidth=0.5)
    axes.set(xlabel="O-O distance (angstrom)", ylabel="g(r)", xlim=(2, 6), title="Water, 330 K, TDN")
    figure.savefig(OUT / "rdf.png", dpi=150)


def main() -> None:
    """Run both sizes and report."""
    start = time.monotonic()
    for copies, steps in RUNS.items():
        n_atoms = N_ATOMS * copies**3
        print(f"== {n_atoms} atoms, {steps[0]} steps of NVT and {steps[1]} of NVE", flush=True)
        summarize(run_lammps(copies, *steps), n_atoms)
    draw_rdf(1)
    seconds = time.monotonic() - start
    print(f"logs and radial distribution (rdf.png) in {OUT.relative_to(HERE.parents[1])}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
