"""Relaxation of structures with ASE's optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from tdn.errors import TDNError

OPTIMIZERS = {"bfgs": BFGS, "fire": FIRE, "lbfgs": LBFGS}


@dataclass(frozen=True)
class Settings:
    """Settings of a relaxation."""

    optimizer: str = "bfgs"  #: one of ``OPTIMIZERS``
    #: eV/angstrom, limit of the longest force on an atom; with ``cell`` also, in eV, of the rows of the virial per atom
    fmax: float = 0.01
    steps: int = 500  #: at most
    cell: bool = False  #: also relax the cell, in all six components
    pressure: float = 0.0  #: GPa, with ``cell``
    symmetry: bool = False  #: keep the initial space group

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise TDNError(f"there is no optimizer '{self.optimizer}'; use one of {', '.join(OPTIMIZERS)}")
        if not 0 < self.fmax < np.inf:
            raise TDNError(f"fmax is {self.fmax:g} eV/angstrom; give a positive number")
        if self.steps < 1:
            raise TDNError(f"the limit is {self.steps} steps; give at least 1")
        if self.pressure and not self.cell:
            raise TDNError(f"a pressure of {self.pressure:g} GPa needs a cell that may change; add --cell")
        if not np.isfinite(self.pressure):
            raise TDNError(f"the pressure is {self.pressure:g} GPa; give a finite number")
        if self.symmetry and not find_spec("spglib"):
            raise TDNError("symmetry is found by spglib, which is not installed; install it or leave out --symmetry")


@dataclass(frozen=True)
class Step:
    """State after a step, or at the start."""

    number: int
    energy: float  #: eV
    fmax: float  #: as in ``Settings.fmax``
    volume: float | None  #: angstrom^3, if periodic in three directions
    pressure: float | None  #: GPa, minus a third of the trace of the stress


@dataclass(frozen=True)
class Relaxed:
    """Result of a relaxation."""

    atoms: Atoms  #: copy with its constraints and, stored, its energy, forces and stress
    converged: bool
    steps: list[Step]


def relax(
    atoms: Atoms,
    calculator: Calculator,
    settings: Settings = Settings(),  # frozen
    on_step: Callable[[Step, Atoms], None] = lambda step, atoms: None,
) -> Relaxed:
    """Move atoms, and optionally the cell, until no force is above ``settings.fmax``.

    Args:
        atoms: initial structure with constraints; it is not changed.
        calculator: a ``TDNCalculator`` or another ASE calculator.
        settings: settings of the relaxation.
        on_step: called with the moving structure at the start and after every step.

    Raises:
        TDNError: the cell is to be relaxed but is not periodic in three directions, or an energy is not a number.
    """
    if (settings.cell or settings.symmetry) and not atoms.pbc.all():
        raise TDNError(
            f"--cell and --symmetry need three periodic directions but pbc is {atoms.pbc.tolist()}; omit --cell and "
            "--symmetry, or set pbc"
        )
    moving = atoms.copy()
    if settings.symmetry:
        moving.set_constraint([*moving.constraints, FixSymmetry(moving)])
    moving.calc = calculator
    target = FrechetCellFilter(moving, scalar_pressure=settings.pressure * units.GPa) if settings.cell else moving
    optimizer = OPTIMIZERS[settings.optimizer](target, logfile=None)
    steps: list[Step] = []
    converged = False
    for reached in optimizer.irun(fmax=settings.fmax, steps=settings.steps):
        converged = bool(reached)
        steps.append(state(len(steps), moving, target))
        on_step(steps[-1], moving)
    moving.set_constraint(atoms.constraints)
    return Relaxed(with_stored_results(moving), converged, steps)


def state(number: int, atoms: Atoms, target: Atoms | FrechetCellFilter) -> Step:
    """Current energy and largest force."""
    energy = atoms.get_potential_energy()
    if not np.isfinite(energy):
        raise TDNError(
            f"the energy is {energy} eV after {number} steps; start from a structure closer to the training data"
        )
    fmax = float(np.linalg.norm(target.get_forces(), axis=1).max())
    if not atoms.pbc.all():
        return Step(number, energy, fmax, None, None)
    stress = atoms.calc.results.get("stress")
    pressure = None if stress is None else -float(np.mean(stress[:3])) / units.GPa
    return Step(number, energy, fmax, atoms.get_volume(), pressure)


def with_stored_results(atoms: Atoms) -> Atoms:
    """Copy that stores the last energy, forces and stress, independent of the model."""
    stored = atoms.copy()
    names = ("energy", "free_energy", "forces", "stress")
    stored.calc = SinglePointCalculator(stored, **{k: v for k, v in atoms.calc.results.items() if k in names})
    return stored
