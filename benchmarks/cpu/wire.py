"""What `wire bfloat16` costs in accuracy and saves in bytes.

Question: how far do energies and forces move when rows between ranks are rounded to 8 significant bits? The same
structures are run on 1, 2, 4 and 8 ranks with both settings of the keyword; one rank exchanges nothing: the reference.

Usage: python benchmarks/cpu/wire.py [--output FILE]
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from report import machine, parser, publish

ROOT = Path(__file__).parents[2]
WATER = ROOT / "examples" / "water"
BIN = Path(sys.executable).parent
INPUT = """
units metal
atom_style atomic
read_data {data}
pair_style tdn device cpu wire {wire}
pair_coeff * * {model} {elements}
dump d all custom 1 forces.txt id fx fy fz
dump_modify d sort id format float %.17g
run 0
print "energy = $(pe:%.17g)"
"""
#: name -> data file, archive, elements of the types
SYSTEMS = {
    "water, 192 atoms": (WATER / "data.water", WATER / "water.tdn.pt", "O H"),
    "silicon": (ROOT / "examples/silicon/data.silicon", ROOT / "examples/silicon/silicon.tdn.pt", "Si"),
}


def evaluate(system: str, wire: str, n_ranks: int) -> tuple[float, np.ndarray, float]:
    """Energy (eV), forces (eV/angstrom) and MB that a rank sends in a step."""
    data, model, elements = SYSTEMS[system]
    text = INPUT.format(data=data, model=model, elements=elements, wire=wire)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.wire").write_text(text)
        command = [BIN / "mpirun", "-n", str(n_ranks), BIN / "lmp", "-in", "in.wire", "-log", "none"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        forces = np.loadtxt(Path(folder) / "forces.txt", skiprows=9)[:, 1:]
    energy = float(re.findall(r"^energy = (\S+)", done.stdout, re.MULTILINE)[-1])
    return energy, forces, float(re.findall(r"MB per step\s+(\S+)", done.stdout)[-1])


def main() -> None:
    """Measure and print one table."""
    arguments = parser(__doc__)
    options = arguments.parse_args()
    lines = [
        "# Error of `wire bfloat16`",
        "",
        f"{machine()}; float32 models, against one rank. Made by `benchmarks/cpu/wire.py`.",
        "",
        "| system | ranks | wire | MB per rank and step | energy, meV/atom | forces rms, meV/A | forces max, meV/A |",
        "|---|---|---|---|---|---|---|",
    ]
    for system in SYSTEMS:
        reference, forces, _ = evaluate(system, "model", 1)
        for n_ranks in (2, 4, 8):
            for wire in ("model", "bfloat16"):
                energy, found, megabytes = evaluate(system, wire, n_ranks)
                error = 1e3 * (found - forces)
                lines.append(
                    f"| {system} | {n_ranks} | {wire} | {megabytes:.3f} | "
                    f"{1e3 * abs(energy - reference) / len(forces):.2g} | {np.sqrt((error**2).mean()):.2g} | "
                    f"{abs(error).max():.2g} |"
                )
    rms = 1e3 * np.sqrt((evaluate("water, 192 atoms", "model", 1)[1] ** 2).mean())
    lines += ["", f"Forces of the water structure are {rms:.0f} meV/A rms."]
    publish(lines, options.output)


if __name__ == "__main__":
    main()
