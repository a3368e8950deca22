"""LAMMPS against a prediction of the Python model: the check of parity tests and of the test that it can fail."""

from __future__ import annotations

import numpy as np
import torch


def voigt(virial: torch.Tensor) -> np.ndarray:
    """(3, 3) -> xx yy zz xy xz yz."""
    return virial.numpy()[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def assert_same(found, expected, limits: dict[str, float]) -> None:
    """Energies per atom, forces and virial of LAMMPS against a prediction."""
    energies = expected.atom_energies.numpy()
    assert abs(found.energy - energies.sum()) <= limits["energy"] * len(energies)
    assert abs(found.atom_energies - energies).max() <= limits["energy"]
    assert abs(found.forces - expected.forces.numpy()).max() <= limits["forces"]
    virial = voigt(expected.virial[0])
    for other in (found.virial, found.atom_virials, found.centroid_virials[:6]):
        assert abs(other - virial).max() <= limits["virial"] * abs(virial).max() + 1e-12
