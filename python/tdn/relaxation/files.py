"""Relaxation of every structure of a file: table of the steps, trajectory, output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import ase.io
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from ase.io.trajectory import Trajectory

from tdn.errors import TDNError
from tdn.files import check_target
from tdn.relaxation.relax import Relaxed, Settings, Step, relax, with_stored_results

logger = logging.getLogger(__name__)

#: File extensions of trajectories.
TRAJECTORIES = (".xyz", ".extxyz", ".traj")


def check_output(path: str, several: bool, overwrite: bool) -> str:
    """ASE's name of the format of an output file, after checking that it can hold the structures and be written."""
    check_target(path, overwrite)
    try:
        name = filetype(path, read=False)
    except UnknownFileTypeError:
        name = ""
    if name not in ioformats or not ioformats[name].can_write:
        raise TDNError(f"'{path}' has an extension for which ASE writes no structures; use .xyz, .traj, .cif or .vasp")
    if several and ioformats[name].single:
        raise TDNError(f"'{path}' can hold one structure only and there are several; use .xyz or .traj")
    return str(name)


def check_trajectory(path: str, overwrite: bool) -> None:
    """Refuse an extension that is not in ``TRAJECTORIES``; an earlier file is removed, since steps are appended."""
    check_target(path, overwrite)
    if Path(path).suffix not in TRAJECTORIES:
        raise TDNError(f"'{path}' cannot hold a trajectory; use the extension .xyz or .traj")
    Path(path).unlink(missing_ok=True)


def relax_all(
    frames: list[Atoms],
    name: str,
    calculator: Calculator,
    settings: Settings,
    trajectory: str | None = None,
) -> Iterator[Relaxed]:
    """Relax one structure after the other, on demand; the logger ``tdn`` gets the table of steps.

    Args:
        frames: the structures.
        name: name of their file, for messages.
        calculator: shared by all.
        settings: settings of the relaxation.
        trajectory: file for every step of every structure; ``atoms.info`` has the number of the structure and the step.
    """
    for number, atoms in enumerate(frames):
        title = f"structure {number} of {name}"
        logger.info(f"{title}: {atoms.get_chemical_formula()}, {settings.optimizer}, fmax {settings.fmax:g}")
        logger.info(f"{'step':>6}{'energy (eV)':>18}{'fmax':>12}{'volume (A^3)':>16}{'pressure (GPa)':>16}")

        def on_step(step: Step, moving: Atoms, number: int = number) -> None:
            logger.info(line(step))
            if trajectory:
                frame = with_stored_results(moving)
                frame.info |= {"structure": number, "step": step.number}
                append(frame, trajectory)

        try:
            relaxed = relax(atoms, calculator, settings, on_step)
        except TDNError as problem:
            raise TDNError(f"{title}: {problem}") from None
        logger.info(verdict(relaxed))
        yield relaxed


def append(frame: Atoms, path: str) -> None:
    """Add a frame to a trajectory, which is complete after every step."""
    if path.endswith(".traj"):
        with Trajectory(path, "a") as file:
            file.write(frame)
    else:
        ase.io.write(path, frame, format="extxyz", append=True)


def line(step: Step) -> str:
    """One step in the table."""
    box = f"{step.volume:>16.4f}" if step.volume is not None else ""
    box += f"{step.pressure:>16.4f}" if step.pressure is not None else ""
    return f"{step.number:>6}{step.energy:>18.6f}{step.fmax:>12.5f}{box}"


def verdict(relaxed: Relaxed) -> str:
    """Whether a structure has converged."""
    n_steps = len(relaxed.steps) - 1
    return f"converged after {n_steps} steps" if relaxed.converged else f"NOT converged after {n_steps} steps"
