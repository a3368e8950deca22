"""From one structure to one graph, with the labels that the structure has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms

from tdn.data.arrays import GraphArrays, graph_arrays
from tdn.data.graph import Graph
from tdn.data.structure import Structure, fixed_atoms
from tdn.errors import TDNError, shown


def graph_from_atoms(atoms: Atoms, elements: Sequence[str], cutoff: float, labels: bool = False) -> Graph:
    """Build the graph of an ASE structure, float64.

    Args:
        atoms: the structure; energy, forces and stress are taken from its calculator's stored results.
        elements: the model's chemical symbols; the index is the species.
        cutoff: angstrom.
        labels: fill ``energy``, ``forces``, ``stress``; a missing energy, missing forces and the forces of atoms that
            constraints hold become NaN.

    Raises:
        TDNError: an element is not in the model, atoms overlap, or labels are not numbers.
    """
    arrays = graph_arrays(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, elements, cutoff)
    graph = graph_of_arrays(arrays)
    return replace(graph, **read_labels(atoms)) if labels else graph


def graph_from_structure(structure: Structure, elements: Sequence[str], cutoff: float, labels: bool = True) -> Graph:
    """Build the graph of one structure of a source, float64; arguments and errors as in :func:`graph_from_atoms`.

    Every error starts with the structure's name.
    """
    try:
        arrays = graph_arrays(structure.numbers, structure.positions, structure.cell, structure.pbc, elements, cutoff)
        graph = graph_of_arrays(arrays)
        return replace(graph, **structure_labels(structure)) if labels else graph
    except TDNError as problem:
        raise TDNError(f"{structure.name}: {problem}") from None


def graph_of_arrays(arrays: GraphArrays) -> Graph:
    """The same structure as tensors."""
    return Graph(
        species=torch.from_numpy(arrays.species),
        center=torch.from_numpy(arrays.center),
        neighbor=torch.from_numpy(arrays.neighbor),
        vectors=torch.from_numpy(arrays.vectors),
        batch=torch.zeros(len(arrays.species), dtype=torch.int64),
        volume=torch.tensor([arrays.volume], dtype=torch.float64),
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
            f"the structure has neither energy nor forces, only {shown(', '.join(known)) or 'positions'}; "
            "name them energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3) in the file"
        )
    use_stress = "stress" in results and bool(atoms.pbc.all())
    stress = atoms.get_stress(voigt=False) if use_stress else None
    for name, value in {"energy": energy, "forces": forces, "stress": stress}.items():
        if value is not None and not np.isfinite(value).all():
            raise TDNError(f"the label {name} holds a value that is not a finite number; remove the structure")
    return labels_of(len(atoms), energy, forces, stress, fixed_atoms(atoms))


def structure_labels(structure: Structure) -> dict[str, Any]:
    """Labels of a structure of a source, as in :func:`read_labels`."""
    if structure.energy is None and structure.forces is None:
        raise TDNError(
            "the structure has neither energy nor forces; name them energy (eV), forces (eV/angstrom) and stress "
            "(eV/angstrom^3) in the file or among the stored results of its calculator"
        )
    stress = structure.stress if structure.pbc.all() else None
    return labels_of(len(structure), structure.energy, structure.forces, stress, structure.fixed)


def labels_of(n_atoms: int, energy: float | None, forces: Any, stress: Any, fixed: np.ndarray | None) -> dict[str, Any]:
    """Labels as fields of ``Graph``, NaN for missing labels and held atoms."""
    given = np.full((n_atoms, 3), np.nan) if forces is None else np.array(forces, float)
    if fixed is not None:
        given[fixed] = np.nan
    tension = np.zeros((3, 3)) if stress is None else np.array(stress, float)
    return {
        "energy": torch.tensor([np.nan if energy is None else float(energy)], dtype=torch.float64),
        "forces": torch.from_numpy(given),
        "stress": torch.from_numpy(tension).reshape(1, 3, 3),
        "has_stress": torch.tensor([stress is not None]),
    }
