"""Detects labels that cannot be in eV and angstrom, and guesses their unit from their size.

Stress. Its virial per atom, ``|stress| V / n``, is compared with the sum of two terms from the other labels. One is
``F d``, the root mean square of the force components times the distance between atoms, ``d = (V/n)^(1/3)``. The other
is ``sqrt(2 B e V/n)``, the virial whose elastic energy per atom, ``stress^2 V / (2 B n)``, is the spread e of the
energies per atom, with the bulk modulus B of a stiff metal (1 eV/angstrom^3 = 160 GPa). Real data are at a tenth of
this sum or less, since most of the spread of energies is not elastic energy; 300 GPa of pressure reach about twice the
sum.

Energies. Total energies grow with the number of atoms: a constant for each atom of an element fits them better than a
constant for the fraction of each element, which fits energies per atom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from tdn.data.graph import Graph
    from tdn.data.structure import Structure

#: Number of structures that are examined; more add no information.
LIMIT = 20_000
#: eV/angstrom^3, of a stiff metal.
BULK_MODULUS = 1.0
#: Bounds on the spread of energies per atom (eV): few structures show too little, different chemistry too much.
SPREAD = (0.05, 0.5)
#: A stress gets a warning if it is this many times the allowed size. Its likely unit is the one in which it is nearest
#: to real data (0.03 of the allowed size in dynamics, 0.3 in strained cells); units within a factor of it are named.
TOO_LARGE, USUAL, AS_LIKELY = 3.0, 0.1, 2.5
#: Factor from eV/angstrom^3.
STRESS_UNITS = {"GPa": 160.21766, "kbar": 1602.1766}
#: Energies get a warning if the fit by fractions is this many times closer than the fit by atoms, and than no fit.
CLOSER, CLOSER_THAN_NONE = 2.0, 5.0
#: A fit is judged only with at least this many structures.
FEW = 8


class UnitCheck:
    """Collects the needed quantities of structures, one after the other."""

    def __init__(self) -> None:
        self.compositions: list[NDArray[np.int64]] = []
        self.values: list[tuple[float, float, float, float]] = []

    def add_structure(self, structure: Structure) -> None:
        """Count a structure of a source."""
        energy = math.nan if structure.energy is None else structure.energy
        volume = abs(float(np.linalg.det(structure.cell))) if structure.pbc.all() else 0.0
        self.add(structure.numbers, energy, structure.forces, structure.stress, volume)

    def add_graph(self, graph: Graph) -> None:
        """Count a structure, or several joined ones, as a graph with labels, float64 on the CPU."""
        for k in range(graph.n_graphs):
            atoms = graph.batch == k
            has_stress = graph.has_stress is not None and bool(graph.has_stress[k])
            self.add(
                graph.species[atoms].numpy(),
                math.nan if graph.energy is None else float(graph.energy[k]),
                None if graph.forces is None else graph.forces[atoms].numpy(),
                graph.stress[k].numpy() if has_stress and graph.stress is not None else None,
                0.0 if graph.volume is None else float(graph.volume[k]),
            )

    def add(
        self, kinds: NDArray[np.int64], energy: float, forces: ArrayLike | None, stress: ArrayLike | None, volume: float
    ) -> None:
        """Count a structure.

        Args:
            kinds: a number for the element of each atom, (n_atoms,).
            energy: eV, NaN if missing.
            forces: (n_atoms, 3), NaN where missing.
            stress: (3, 3), None if missing.
            volume: angstrom^3.
        """
        if len(self.values) >= LIMIT or len(kinds) == 0:
            return
        known = np.zeros(0) if forces is None else np.asarray(forces)[np.isfinite(forces)]
        self.compositions.append(np.bincount(kinds))
        self.values.append(
            (
                energy,
                float(np.sqrt(np.mean(known**2))) if known.size else math.nan,
                math.nan if stress is None else float(np.linalg.norm(np.asarray(stress)) / math.sqrt(3.0)),
                volume,
            )
        )

    def warnings(self) -> list[str]:
        """A line for each label that is probably in another unit."""
        if not self.values:
            return []
        width = max(len(one) for one in self.compositions)
        counts = np.array([np.pad(one, (0, width - len(one))) for one in self.compositions], dtype=np.float64)
        counts = counts[:, counts.any(axis=0)]
        energies, forces, stresses, volumes = np.array(self.values).T
        found = (energy_warning(counts, energies), stress_warning(counts, energies, forces, stresses, volumes))
        return [line for line in found if line]


def residual(matrix: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residual of a least-squares fit."""
    return values - matrix @ (np.linalg.pinv(matrix, rcond=1e-8) @ values)


def energy_warning(counts: NDArray[np.float64], energies: NDArray[np.float64]) -> str | None:
    """Warning about energies that do not grow with the number of atoms."""
    known = np.isfinite(energies)
    counts, energies = counts[known], energies[known]
    if len(energies) < max(FEW, 3 * counts.shape[1]):
        return None
    sizes = counts.sum(axis=1)
    total, share = (float(np.sqrt(np.mean(residual(m, energies) ** 2))) for m in (counts, counts / sizes[:, None]))
    size = float(np.sqrt(np.mean(energies**2)))  # relative energies, such as those of adsorption, scatter about zero
    if CLOSER * share >= total or CLOSER_THAN_NONE * share >= size:
        return None
    return (
        f"Warning: energies do not grow with the number of atoms ({sizes.min():.0f} to {sizes.max():.0f}): an energy "
        f"for the fraction of each element fits them to {share:.3g} eV, one for each atom to {total:.3g} eV; they are "
        "probably energies per atom, but total energies are needed."
    )


def stress_warning(
    counts: NDArray[np.float64],
    energies: NDArray[np.float64],
    forces: NDArray[np.float64],
    stresses: NDArray[np.float64],
    volumes: NDArray[np.float64],
) -> str | None:
    """Warning about stresses (n,) that are far larger than the other labels allow."""
    known = np.isfinite(stresses) & (volumes > 0)
    if not known.any():
        return None
    sizes = counts.sum(axis=1)
    room = float(np.median((volumes / sizes)[known]))
    force = float(np.nanmedian(forces)) if np.isfinite(forces).any() else 0.0
    allowed = force * room ** (1 / 3) + math.sqrt(2.0 * BULK_MODULUS * spread(counts, energies) * room)
    stresses, volumes, sizes = stresses[known], volumes[known], sizes[known]
    ratio = float(np.median(stresses * volumes / sizes)) / allowed
    if ratio < TOO_LARGE:
        return None
    ratios = {name: ratio / factor for name, factor in STRESS_UNITS.items()}
    ratios["a virial in eV"] = float(np.median(stresses / sizes)) / allowed
    units = " or ".join(likely(ratios, stresses, volumes))
    return (
        f"Warning: the stress is probably not in eV/angstrom^3: its median, {np.median(stresses):.3g}, is {ratio:.2g} "
        f"times what energies, forces and volumes allow; it looks like {units} (1 eV/angstrom^3 is 160.218 GPa or "
        "1602.18 kbar; a virial is read under a name with virial in it, by stress_key)."
    )


def spread(counts: NDArray[np.float64], energies: NDArray[np.float64]) -> float:
    """Standard deviation of the energies per atom above an energy of each element, within :data:`SPREAD`."""
    known = np.isfinite(energies)
    if not known.any():
        return SPREAD[1]
    sizes = counts[known].sum(axis=1)
    return float(np.clip(residual(counts[known] / sizes[:, None], energies[known] / sizes).std(), *SPREAD))


def likely(ratios: dict[str, float], stresses: NDArray[np.float64], volumes: NDArray[np.float64]) -> list[str]:
    """The units that come closest to real data: the best, and others that are not much worse.

    A virial grows with the volume of the cell, a stress does not.
    """
    known = stresses > 0
    distance = {name: abs(math.log(ratio / USUAL)) for name, ratio in ratios.items()}
    if known.sum() > FEW and np.log(volumes[known]).std() > 0.2:
        slope = np.polyfit(np.log(volumes[known]), np.log(stresses[known]), 1)[0]
        distance["a virial in eV"] += -1.5 if slope > 0.25 else 1.5
    limit = min(distance.values()) + math.log(AS_LIKELY)
    return sorted((name for name in distance if distance[name] <= limit), key=lambda name: distance[name])
