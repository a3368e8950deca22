"""Small labeled structures and entries of PubChemQCR shards for tests of readers."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tdn.data.formats.lmdb_file import write_lmdb
from tdn.data.source import Source
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels

SYMBOLS = ("O", "H", "H")

#: CODATA 2014: eV per Hartree, angstrom per Bohr.
HARTREE, BOHR = 27.21138602, 0.52917721067


def molecule(seed: int = 0, numbers: tuple[int, ...] = (8, 1, 1)) -> Structure:
    """Random positions and labels."""
    rng = np.random.default_rng(seed)
    return Structure(
        numbers=np.array(numbers, dtype=np.int64),
        positions=rng.normal(size=(len(numbers), 3)) + 2.0 * np.arange(len(numbers))[:, None],
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=bool),
        energy=float(-2000 + rng.normal()),
        forces=rng.normal(size=(len(numbers), 3)),
        name=f"molecule {seed}",
    )


def crystal(seed: int = 0, tags: bool = True) -> Structure:
    """Periodic, with fixed atoms and tags, without stress."""
    rng = np.random.default_rng(seed)
    return Structure(
        numbers=np.array([29, 29, 29, 8], dtype=np.int64),
        positions=rng.uniform(0, 6, size=(4, 3)),
        cell=6.0 * np.eye(3) + rng.normal(scale=0.1, size=(3, 3)),
        pbc=np.ones(3, dtype=bool),
        energy=float(rng.normal()),
        forces=rng.normal(size=(4, 3)),
        fixed=np.array([True, False, False, False]),
        tags=np.array([0, 1, 1, 2]) if tags else None,
        name=f"crystal {seed}",
    )


def assert_same(one: Structure, other: Structure, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    """All but the name."""
    for name in ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress", "fixed", "tags"):
        expected, found = getattr(one, name), getattr(other, name)
        assert (expected is None) == (found is None), name
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=name)


def raw_step(number: float = 0.0, symbols: tuple[str, ...] = SYMBOLS, smash: bool = False) -> dict[str, Any]:
    """A step as in a shard, with numbers that are easily recognized."""
    charge = {} if smash else {"charge": 1.0}
    return {
        "coordinates": [
            {"atom": symbol, **charge, "x": number + i, "y": 0.5 * i, "z": -0.25} for i, symbol in enumerate(symbols)
        ],
        "energy": -76.0 - number,
        "gradient": [
            {"atom": symbol, **charge, "dx": 0.01 * (i + 1), "dy": number, "dz": -0.02}
            for i, symbol in enumerate(symbols)
        ],
    }


def write_raw(path: Path, entries: dict[int, Any]) -> Path:
    """A shard of entries as they are."""
    write_lmdb(path, ((f"{cid:09d}".encode(), gzip.compress(pickle.dumps(entry))) for cid, entry in entries.items()))
    return path


def steps(*numbers: float, **options: Any) -> list[dict[str, Any]]:
    """Several steps."""
    return [raw_step(number, **options) for number in numbers]


def entry(**stages: Any) -> dict[str, Any]:
    """An entry of a shard; stages that are not given are None."""
    return {stage: stages.get(stage) for stage in ("pm3", "hf", "DFT_1st", "DFT_2nd")}


def energies(structures: Iterable[Structure]) -> list[float]:
    """The numbers that were given to ``steps``."""
    return [round(-structure.energy / HARTREE - 76.0, 6) for structure in structures]


def three_molecules() -> dict[int, Any]:
    """Molecules 7 (all stages), 30 (SMASH, no second stage) and 31 (no density functional theory)."""
    return {
        31: entry(hf=steps(0.5)),
        7: entry(pm3=steps(1), hf=steps(2, 3), DFT_1st=steps(4, 5, 6), DFT_2nd=steps(7, 8)),
        30: entry(hf=steps(9), DFT_1st=steps(10, 11, smash=True)),
    }


class Grouped(Source):
    """Structures with trajectories, in memory."""

    def __init__(self, groups: Iterable[int]):
        self.groups = np.array(groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Structure:
        return replace(molecule(self.checked_index(index)), name=str(index))

    file_names = ("memory",)

    def unread_labels(self) -> UnreadLabels:
        return UnreadLabels()

    def fingerprint(self) -> str:
        return "grouped"

    def get_groups(self) -> np.ndarray:
        return self.groups
