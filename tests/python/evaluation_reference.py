"""Labeled structures of every kind, and the errors that a model must have on them, found one structure at a time."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from models import random_model
from tiny import crystals, labeled

from tdn.ase import TDNCalculator
from tdn.data.source import Source
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.model import TDN

ELEMENTS = ("Cu", "Au")


class Frames(Source):
    """Structures in memory; remembers which were asked for."""

    def __init__(self, frames: list[Atoms]):
        self.frames = frames
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Structure:
        self.asked.append(index)
        return Structure.from_atoms(self.frames[index], f"frame {index}")

    @property
    def file_names(self) -> list[str]:
        return ["memory"]

    def unread_labels(self) -> UnreadLabels:
        return UnreadLabels()

    def fingerprint(self) -> str:
        return "frames"


def frames() -> list[Atoms]:
    """Crystals of two sizes; one has held atoms, one no energy, one no forces, one no stress."""
    made = crystals(6)
    made[1].set_constraint(FixAtoms([0, 2]))
    made[2] = labeled(made[2] * (2, 1, 1))
    made[3] = labeled(made[3], ("forces", "stress"))
    made[4] = labeled(made[4], ("energy",))
    made[5] = labeled(made[5], ("energy", "forces"))
    return made


def small_model() -> TDN:
    """Random weights, one layer, references that are not zero."""
    model = random_model(ELEMENTS, cutoff=3.5, n_channels=8, n_layers=1)
    model.set_references([0.3, -0.2], 1.0)
    return model


class Reference:
    """What ``evaluate`` must find, from the calculator, one structure at a time."""

    def __init__(self, model: TDN, frames: list[Atoms]):
        calculator = TDNCalculator(model)
        self.energy, self.total, self.stress, self.structure = [], [], [], []
        self.rows: list[tuple[str, np.ndarray, np.ndarray]] = []  # element, labeled force, error; of each labeled atom
        for atoms in frames:
            labels = atoms.calc.results
            if "energy" in labels:
                self.total.append(calculator.get_potential_energy(atoms) - labels["energy"])
                self.energy.append(self.total[-1] / len(atoms))
            if "stress" in labels:
                voigt = calculator.get_stress(atoms) - labels["stress"]
                self.stress.append(np.concatenate([voigt, voigt[3:]]))
            if "forces" in labels:
                self.add_forces(atoms, calculator.get_forces(atoms))

    def add_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        held = {index for constraint in atoms.constraints for index in constraint.index}
        free = [k for k in range(len(atoms)) if k not in held]
        labels = atoms.calc.results["forces"]
        self.rows += [(atoms.symbols[k], labels[k], forces[k] - labels[k]) for k in free]
        self.structure.append(np.sqrt(np.mean([np.sum((forces[k] - labels[k]) ** 2) for k in free])))

    def errors(self) -> dict[str, float]:
        force = np.array([error for _, _, error in self.rows])
        values = {"energy": self.energy, "energy_total": self.total, "force": force, "stress": self.stress}
        found = {f"{name}_mae": 1e3 * np.mean(np.abs(value)) for name, value in values.items()}
        found |= {f"{name}_rmse": 1e3 * np.sqrt(np.mean(np.square(value))) for name, value in values.items()}
        return found | {"force_structure_rmse": 1e3 * np.mean(self.structure)}

    def group(self, chosen: list[bool]) -> dict[str, float]:
        errors, labels = (np.array([row[k] for row, use in zip(self.rows, chosen, strict=True) if use]) for k in (2, 1))
        found = {"mae": np.abs(errors).mean(), "rmse": np.sqrt((errors**2).mean())}
        found["label_rms"] = np.sqrt((labels**2).mean())
        return {"atoms": len(errors), **{name: pytest.approx(1e3 * value) for name, value in found.items()}}
