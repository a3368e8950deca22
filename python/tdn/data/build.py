"""One structure of ASE to one graph, with labels where the structure carries them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from tdn.data.graph import Graph
from tdn.data.neighbors import neighbor_list
from tdn.errors import TDNError

#: Pairs closer than this are taken for broken input (angstrom); the shortest bond, H2, has 0.74.
TOO_CLOSE = 0.2


def graph_from_atoms(atoms: Atoms, elements: Sequence[str], cutoff: float, labels: bool = False) -> Graph:
    """Build the graph of one structure, float64.

    Args:
        atoms: the structure; energy, forces and stress are taken from its calculator's stored results.
        elements: the model's chemical symbols; the index is the species.
        cutoff: angstrom.
        labels: fill ``energy``, ``forces``, ``stress``; a missing energy or missing forces become NaN.

    Raises:
        TDNError: for an element that is not in the model, overlapping atoms, labels that are not numbers.
    """
    center, neighbor, vectors = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    check_distances(center, neighbor, vectors)
    volume = float(atoms.cell.volume) if atoms.pbc.all() else 0.0
    return Graph(
        species=torch.from_numpy(species_of(atoms.numbers, elements)),
        center=torch.from_numpy(center),
        neighbor=torch.from_numpy(neighbor),
        vectors=torch.from_numpy(vectors),
        batch=torch.zeros(len(atoms), dtype=torch.int64),
        volume=torch.tensor([volume], dtype=torch.float64),
        **(read_labels(atoms) if labels else {}),
    )


def species_of(numbers: np.ndarray, elements: Sequence[str]) -> np.ndarray:
    """Model index of each atom from its atomic number, shape ``(n_atoms,)`` int64."""
    index = np.full(len(chemical_symbols), -1, dtype=np.int64)
    for species, element in enumerate(elements):
        index[chemical_symbols.index(element)] = species
    found = index[numbers]
    if (found < 0).any():
        missing = chemical_symbols[numbers[found < 0][0]]
        raise TDNError(
            f"element {missing} is not in the model, which knows {' '.join(elements)}; "
            "leave the structure out or train a model with this element"
        )
    return found


def check_distances(center: np.ndarray, neighbor: np.ndarray, vectors: np.ndarray) -> None:
    """Refuse structures with overlapping atoms."""
    if len(vectors) == 0:
        return
    distances = np.linalg.norm(vectors, axis=1)
    edge = int(distances.argmin())
    if distances[edge] < TOO_CLOSE:
        raise TDNError(
            f"atoms {center[edge]} and {neighbor[edge]} are {distances[edge]:.3g} angstrom apart, closer than "
            f"{TOO_CLOSE}; check the positions, the cell and their unit"
        )


def read_labels(atoms: Atoms) -> dict[str, Any]:
    """Labels that ASE stored with the structure, as the fields of ``Graph``.

    Energy (1,) eV and forces (n_atoms, 3) eV/angstrom are NaN where missing; stress (1, 3, 3) eV/angstrom^3 is
    used in structures that are periodic in three directions, the only ones where it is defined.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("energy")
    forces = results.get("forces")
    if energy is None and forces is None:
        known = sorted({*atoms.info, *atoms.arrays, *results} - {"numbers", "positions"})
        raise TDNError(
            f"the structure has neither energy nor forces, only {', '.join(known) or 'positions'}; "
            "name them energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3) in the file"
        )
    use_stress = "stress" in results and bool(atoms.pbc.all())
    stress = atoms.get_stress(voigt=False) if use_stress else np.zeros((3, 3))
    given = {"energy": energy, "forces": forces, "stress": stress}
    for name, value in given.items():
        if value is not None and not np.isfinite(value).all():
            raise TDNError(f"the label {name} holds a value that is not a finite number; remove the structure")
    return {
        "energy": torch.tensor([np.nan if energy is None else float(energy)], dtype=torch.float64),
        "forces": torch.as_tensor(np.full((len(atoms), 3), np.nan) if forces is None else np.array(forces, float)),
        "stress": torch.as_tensor(np.array(stress, float)).reshape(1, 3, 3),
        "has_stress": torch.tensor([use_stress]),
    }
