"""Which names in a file mean which label, for every format whose names are free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.registry import KEY_OPTIONS
from tdn.errors import TDNError, quoted


@dataclass(frozen=True)
class LabelKeys:
    """Names of the labels in a file."""

    energy: str = "energy"  #: eV, total
    forces: str = "forces"  #: eV/angstrom
    #: eV/angstrom^3, tension positive; a name with "virial" in it is read as W = -stress x volume in eV
    stress: str = "stress"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> LabelKeys:
        """Keys from the options ``energy_key``, ``forces_key``, ``stress_key``, as far as they are given."""
        for option in KEY_OPTIONS:
            if not isinstance(options.get(option, ""), str) or options.get(option) == "":
                raise TDNError(f"{option} is {quoted(options[option])}; give the name that the label has in the file")
        return cls(**{option.removesuffix("_key"): options[option] for option in KEY_OPTIONS if option in options})

    @property
    def stress_is_virial(self) -> bool:
        """Whether the stress is read from a virial."""
        return "virial" in self.stress.lower()


DEFAULT_KEYS = LabelKeys()


@dataclass(frozen=True)
class Labels:
    """Labels of a structure; a missing one is None."""

    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None


def read_labels(values: Mapping[str, Any], keys: LabelKeys, cell: NDArray[np.float64], periodic: bool) -> Labels:
    """Labels among named values.

    Args:
        values: everything in a file about a structure, by name.
        keys: the names to read.
        cell: rows are cell vectors, angstrom; a virial is divided by its volume.
        periodic: periodic in three directions; only then is a stress defined.

    Raises:
        TDNError: a label is not a number, or a stress has neither six nor nine components; the sentence begins with the
            name of the label, for the caller to prefix the structure.
    """
    energy, forces = (values.get(name) for name in (keys.energy, keys.forces))
    stress = values.get(keys.stress) if periodic else None
    return Labels(
        None if energy is None else scalar(energy, keys.energy),
        None if forces is None else numbers(forces, keys.forces),
        None if stress is None else stress_of(stress, keys, abs(float(np.linalg.det(cell)))),
    )


def numbers(value: Any, name: str) -> NDArray[np.float64]:
    """Array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise TDNError(f"{name} is {quoted(value)}, which is not a number; write numbers without a unit")
    return np.array(array, dtype=np.float64)


def scalar(value: Any, name: str) -> float:
    """One number."""
    array = numbers(value, name)
    if array.size != 1:
        raise TDNError(f"{name} is {quoted(value)}, {array.size} values where one is expected; write one number")
    return float(array.reshape(()))


def stress_of(value: Any, keys: LabelKeys, volume: float) -> NDArray[np.float64]:
    """Stress (3, 3) from a stress or, if the name says so, a virial W = -stress x volume."""
    array = numbers(value, keys.stress)
    if array.size not in (6, 9):
        raise TDNError(f"{keys.stress} is {quoted(value)}, {array.size} values where 9 (or 6) are expected; correct it")
    stress = full_stress(array)
    if not keys.stress_is_virial:
        return stress
    if not volume > 0:
        raise TDNError(f"{keys.stress} is a virial but the cell has no volume to divide it by; give the cell")
    return -stress / volume


def full_stress(stress: Any) -> NDArray[np.float64]:
    """Stress as (3, 3) from six components in ASE's order xx yy zz yz xz xy, or from nine."""
    values = np.array(stress, dtype=np.float64)
    if values.size == 6:
        xx, yy, zz, yz, xz, xy = values.ravel()
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return values.reshape(3, 3) if values.size == 9 else values
