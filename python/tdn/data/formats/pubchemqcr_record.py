"""Converts one entry of a PubChemQCR shard to arrays: units, checks, and reasons for what is left out.

An entry is ``gzip(pickle(dict))`` with the keys pm3, hf, DFT_1st, DFT_2nd; each is a list of steps or None. A step has
``coordinates`` [{atom, charge, x, y, z}] in angstrom, ``energy`` in Hartree and ``gradient``
[{atom, charge, dx, dy, dz}] in Hartree/Bohr. Steps of the program SMASH have no ``charge``.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from tdn.data.formats.unpickle import load_plain
from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError

#: eV per Hartree and angstrom per Bohr, CODATA 2014 as in ASE. The published loader uses 27.2114 and 1 / 1.8897: its
#: energies are larger by 5e-7 of their value, its forces smaller by 1.4e-5.
HARTREE, BOHR = float(Hartree), float(Bohr)

#: Stages of an entry, in the order of the calculation.
STAGES = ("pm3", "hf", "DFT_1st", "DFT_2nd")

_KEYS = ("coordinates", "energy", "gradient")
_NUMBERS = {form: z for symbol, z in ATOMIC_NUMBERS.items() for form in (symbol, symbol.upper(), symbol.lower())}


@dataclass(frozen=True)
class Trajectory:
    """Steps of one stage of one molecule, all with the same atoms."""

    numbers: NDArray[np.uint8]  #: (n_atoms,)
    positions: NDArray[np.float64]  #: (n_steps, n_atoms, 3) angstrom
    forces: NDArray[np.float64]  #: (n_steps, n_atoms, 3) eV/angstrom
    energies: NDArray[np.float64]  #: (n_steps,) eV, total
    smash: bool  #: calculated by SMASH


def read_entry(content: bytes, what: str) -> dict[str, Any] | None:
    """Dictionary of an entry; None if it cannot be unzipped.

    Raises:
        TDNError: the pickle holds more than plain values, or is not a dictionary.
    """
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None
    entry = load_plain(plain, what)
    if not isinstance(entry, dict):
        raise TDNError(f"{what} is a {type(entry).__name__}, not a dictionary of stages; give a shard of PubChemQCR")
    return entry


def read_stage(entry: Mapping[str, Any], stage: str, left_out: Counter[str]) -> Trajectory | None:
    """Steps of one stage; what is left out is counted.

    The last step with coordinates and energy defines the atoms of the molecule; steps with other atoms are left out.
    """
    steps = entry.get(stage)
    if not isinstance(steps, (list, tuple)) or not steps:
        left_out[f"trajectory without {stage}"] += 1
        return None
    reference = next((step for step in reversed(steps) if is_usable(step)), None)
    if reference is None:
        left_out[f"trajectory of {stage} without a step that has coordinates and energy"] += 1
        return None
    symbols = symbols_of(reference["coordinates"])
    unknown = [symbol for symbol in symbols if symbol not in _NUMBERS]
    if unknown:
        left_out[f"trajectory with the unknown element {unknown[0]!r}"] += 1
        return None
    kept = [arrays for step in steps if (arrays := read_step(step, symbols, left_out)) is not None]
    if not kept:
        left_out[f"trajectory of {stage} without a usable step"] += 1
        return None
    energies, positions, gradients = (np.array(column, dtype=np.float64) for column in zip(*kept, strict=True))
    numbers = np.array([_NUMBERS[symbol] for symbol in symbols], dtype=np.uint8)
    smash = "charge" not in reference["coordinates"][0]
    return Trajectory(numbers, positions, gradients * (-HARTREE / BOHR), energies * HARTREE, smash)


def is_usable(step: Any) -> bool:
    """Whether a step can define the atoms of the molecule."""
    if not isinstance(step, dict) or step.get("energy") is None or not isinstance(step.get("coordinates"), list):
        return False
    return bool(step["coordinates"]) and None not in symbols_of(step["coordinates"])


def symbols_of(atoms: list[Any]) -> list[Any]:
    """Chemical symbols as the file writes them, None for what is not an atom."""
    return [atom.get("atom") if isinstance(atom, dict) else None for atom in atoms]


def read_step(step: Any, symbols: list[str], left_out: Counter[str]) -> tuple[float, Any, Any] | None:
    """Energy, coordinates and gradient of a step in the file's units, or None with the reason counted."""
    for key in _KEYS:
        if not isinstance(step, dict) or step.get(key) is None or step[key] == []:
            left_out[f"step without {key}"] += 1
            return None
    reason = None
    try:
        coordinates, gradient = step["coordinates"], step["gradient"]
        if len(coordinates) != len(symbols):
            reason = "step with another number of atoms than the last one"
        elif symbols_of(coordinates) != symbols:
            reason = "step with other elements than the last one"
        elif symbols_of(gradient) != symbols:
            reason = "step whose gradient has other atoms than its coordinates"
        else:
            positions = [(atom["x"], atom["y"], atom["z"]) for atom in coordinates]
            slopes = [(atom["dx"], atom["dy"], atom["dz"]) for atom in gradient]
            numbers = np.array([*positions, *slopes], dtype=np.float64)
            energy = float(step["energy"])
            if np.isfinite(numbers).all() and np.isfinite(energy):
                return energy, numbers[: len(symbols)], numbers[len(symbols) :]
            reason = "step with a value that is not a finite number"
    except (KeyError, TypeError, ValueError, AttributeError):
        reason = "step in another form than described"
    left_out[reason] += 1
    return None
