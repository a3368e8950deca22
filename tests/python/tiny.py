"""A few small labeled structures and the smallest useful run, made in the test: copper and gold by ASE's EMT."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from tdn.checkpoints import read_checkpoint
from tdn.config.run import config_from_dict
from tdn.training.run import train


def labeled(atoms: Atoms, properties: tuple[str, ...] = ("energy", "forces", "stress")) -> Atoms:
    """The same structure with stored EMT results, as a file would give it."""
    source = atoms.copy()
    source.calc = EMT()
    values = {name: source.calc.get_property(name, source) for name in properties}
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **values)
    return atoms


def crystals(n: int, seed: int = 0, **kwargs: Any) -> list[Atoms]:
    """Strained and rattled fcc cells of four atoms, one or two of them gold; labels by EMT."""
    generator = np.random.default_rng(seed)
    frames = []
    for index in range(n):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.symbols[: 1 + index % 2] = "Au"
        strain = np.eye(3) + generator.normal(scale=0.03, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += generator.normal(scale=0.1, size=(4, 3))
        frames.append(labeled(atoms, **kwargs))
    return frames


def isolated(symbol: str) -> Atoms:
    """A single atom with its energy."""
    return labeled(Atoms(symbol, positions=[[0.0, 0.0, 0.0]]), ("energy", "forces"))


def write(path: Path, frames: list[Atoms]) -> Path:
    """Write extended XYZ."""
    ase.io.write(path, frames, format="extxyz")
    return path


def settings(**training: Any) -> dict[str, Any]:
    """Content of a configuration file for ``train.xyz`` in the same folder: one layer, eight channels, float64."""
    return {
        "run_dir": "run",
        "model": {
            "cutoff": 3.5,
            "l_max": 1,
            "n_channels": 8,
            "n_layers": 1,
            "n_heads": 2,
            "n_radial": 4,
            "radial_hidden": [8, 8],
        },
        "data": {"train": "train.xyz", "valid": 0.25},
        "training": {
            "batch_size": 2,
            "max_epochs": 4,
            "learning_rate": 0.01,
            "ema_decay": 0.9,
            "dtype": "float64",
            "device": "cpu",
            **training,
        },
    }


def changed(content: dict[str, Any], section: str, **options: Any) -> dict[str, Any]:
    """The same configuration with other options in a section."""
    return content | {section: content[section] | options}


class LoggedLines(logging.Handler):
    """Collects what the program logs."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def start(folder: Path, content: dict[str, Any], **kwargs: Any) -> list[str]:
    """Train and return the lines that the user sees."""
    lines = LoggedLines()
    logger = logging.getLogger("tdn")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        train(config_from_dict(content, folder), **kwargs)
    finally:
        logger.removeHandler(lines)
    return lines.texts


def history(folder: Path) -> list[dict[str, Any]]:
    """Rows of errors of the run in a folder, without times."""
    rows = read_checkpoint(folder / "run" / "last.ckpt")["run"]["history"]
    return [{name: value for name, value in row.items() if name != "elapsed_s"} for row in rows]
