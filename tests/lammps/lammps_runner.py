"""Runs LAMMPS as a user does, from an input file, and reads back every number with all its digits."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np

from tdn.lammps.box import LammpsBox
from tdn.lammps.data_file import data_text
from tdn.lammps.units import UNITS

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parents[1]
#: LAMMPS's factor from energy per volume to its pressure unit, by unit style.
PRESSURE_FACTOR = {"metal": 1.6021765e6, "real": 68568.415}


@dataclass(frozen=True)
class Run:
    """What LAMMPS left behind."""

    returncode: int
    output: str  #: screen output of all ranks

    @property
    def error(self) -> str:
        """The first line that starts with ERROR, without the source file at its end."""
        lines = [line for line in self.output.splitlines() if line.startswith("ERROR")]
        return lines[0].rsplit(" (", 1)[0] if lines else ""

    @property
    def thermo(self) -> list[str]:
        """Lines of thermo output of the last run, as printed."""
        lines = self.output.splitlines()
        begin = max(k for k, line in enumerate(lines) if line.split()[:1] == ["Step"])
        end = next(k for k, line in enumerate(lines) if k > begin and line.startswith("Loop time"))
        return [line for line in lines[begin + 1 : end] if line.strip()]

    def values(self, name: str) -> np.ndarray:
        """Numbers of the last line ``name = ...`` that the input printed."""
        lines = [line for line in self.output.splitlines() if line.startswith(f"{name} = ")]
        return np.array([float(word) for word in lines[-1].split("=")[1].split()])


@dataclass(frozen=True)
class SinglePoint:
    """Energies in eV, lengths in angstrom, whatever the unit style of the run was."""

    energy: float
    atom_energies: np.ndarray  #: (n_atoms)
    forces: np.ndarray  #: (n_atoms, 3) eV/angstrom, in the frame of the structure given
    virial: (
        np.ndarray
    )  #: (6) eV, xx yy zz xy xz yz, in LAMMPS's frame (that of the structure if its cell is triangular)
    atom_virials: np.ndarray  #: (6) eV, sum of the per-atom virials
    centroid_virials: np.ndarray  #: (9) eV, sum of the centroid virials, xx yy zz xy xz yz yx zx zy
    run: Run


def run(
    text: str, n_ranks: int, folder: Path, timeout: float = 120, options: tuple[str, ...] = (), **environment: str
) -> Run:
    """Run an input file on ``n_ranks`` ranks in ``folder``; a run that hangs is an error after ``timeout`` seconds."""
    (folder / "in.test").write_text(text)
    command = [str(BIN / "lmp"), "-in", "in.test", "-log", "none", *options]
    return launch(command, n_ranks, folder, timeout, **environment)


def run_python(
    script: Path, n_ranks: int, folder: Path, *arguments: str, timeout: float = 120, **environment: str
) -> Run:
    """Run a Python script that drives LAMMPS through mpi4py; it may import the modules that tests share."""
    search = os.pathsep.join(str(TESTS / name) for name in (".", "lammps", "python"))
    command = [sys.executable, str(script), *arguments]
    return launch(command, n_ranks, folder, timeout, PYTHONPATH=search, **environment)


def launch(command: list[str], n_ranks: int, folder: Path, timeout: float, **environment: str) -> Run:
    """Run a command on ``n_ranks`` ranks in ``folder``."""
    start = [str(BIN / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    done = subprocess.run(
        [*start, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Run(done.returncode, done.stdout)


def write_data(atoms: ase.Atoms, elements: list[str], path: Path) -> np.ndarray:
    """Write a LAMMPS data file, all masses 10; return the rotation Q (3, 3) with v_lammps = v @ Q.T.

    Cell vectors are kept as they are, because the input that reads the file decides which directions are periodic.
    """
    atoms = atoms.copy()
    atoms.pbc = np.any(atoms.cell.array, axis=1)
    box = LammpsBox.around(atoms)
    path.write_text(data_text(atoms, elements, box, UNITS["metal"], masses=[10.0] * len(elements)))
    return box.rotation


def setup(atoms: ase.Atoms, units: str = "metal", commands: str = "", data: str = "data.test") -> str:
    """Input lines up to and including read_data; ``commands`` go before it (processors, newton, comm_style, ...)."""
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    return f"units {units}\natom_style atomic\nboundary {boundary}\n{commands}\nread_data {data}\n"


PRINT_ALL = """
compute z all pe/atom
compute s all stress/atom NULL virial
compute cs all centroid/stress/atom NULL virial
compute p all pressure NULL virial
compute rs all reduce sum c_s[*]
compute rc all reduce sum c_cs[*]
thermo_style custom step pe vol c_p[*] c_rs[*] c_rc[*]
dump d all custom 1 dump.test id fx fy fz c_z
dump_modify d sort id format float %.17g
run 0
print "energy = $(pe:%.17g)"
print "volume = $(vol:%.17g)"
print "pressure = $(c_p[1]:%.17g) $(c_p[2]:%.17g) $(c_p[3]:%.17g) $(c_p[4]:%.17g) $(c_p[5]:%.17g) $(c_p[6]:%.17g)"
print "stress = $(c_rs[1]:%.17g) $(c_rs[2]:%.17g) $(c_rs[3]:%.17g) $(c_rs[4]:%.17g) $(c_rs[5]:%.17g) $(c_rs[6]:%.17g)"
print "centroid = $(c_rc[1]:%.17g) $(c_rc[2]:%.17g) $(c_rc[3]:%.17g) $(c_rc[4]:%.17g) $(c_rc[5]:%.17g) &
 $(c_rc[6]:%.17g) $(c_rc[7]:%.17g) $(c_rc[8]:%.17g) $(c_rc[9]:%.17g)"
"""


def single_point(
    atoms: ase.Atoms,
    model: Path,
    elements: list[str],
    folder: Path,
    n_ranks: int = 1,
    style: str = "tdn device cpu",
    units: str = "metal",
    commands: str = "",
    pair: str | None = None,
    timeout: float = 120,
    **environment: str,
) -> SinglePoint:
    """Energy, forces and virials of one structure through LAMMPS.

    Args:
        atoms: structure; directions without a cell vector get a box around the atoms.
        model: archive.
        elements: chemical symbol of each LAMMPS atom type.
        folder: where the files go.
        n_ranks: MPI ranks.
        style: pair style with its keywords.
        units: metal or real.
        commands: input lines before read_data.
        pair: replaces the pair_style and pair_coeff lines (hybrid).
        timeout: seconds.
        **environment: variables of the run.
    """
    rotation = write_data(atoms, elements, folder / "data.test")
    pair = pair or f"pair_style {style}\npair_coeff * * {model} {' '.join(elements)}\n"
    done = run(setup(atoms, units, commands) + pair + PRINT_ALL, n_ranks, folder, timeout, **environment)
    assert done.returncode == 0, done.output
    eV, factor = UNITS[units].eV, PRESSURE_FACTOR[units]
    rows = (folder / "dump.test").read_text().splitlines()[9:]
    table = np.array([row.split() for row in rows], dtype=float).reshape(-1, 5)
    volume = done.values("volume")[0]
    return SinglePoint(
        energy=done.values("energy")[0] / eV,
        atom_energies=table[:, 4] / eV,
        forces=table[:, 1:4] @ rotation / eV,
        virial=done.values("pressure") * volume / factor / eV,
        atom_virials=-done.values("stress") / factor / eV,
        centroid_virials=-done.values("centroid") / factor / eV,
        run=done,
    )
