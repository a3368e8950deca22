"""Structures of ASE from files, names in them that nothing reads, and energies above references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import ase.io
import torch
from ase import Atoms

from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.files import first_line


def read_frames(path: str | Path) -> list[Atoms]:
    """Every structure of a file that ASE can read."""
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"data file '{path}' does not exist; correct the path (environment variables are expanded)")
    try:
        frames = ase.io.read(path, index=":")
    except Exception as problem:  # ASE's readers raise anything
        raise TDNError(
            f"data file '{path}' cannot be read by ASE: {first_line(problem)}; write it as extended XYZ"
        ) from problem
    if not frames:
        raise TDNError(f"data file '{path}' holds no structures; give a file with at least one")
    return frames if isinstance(frames, list) else [frames]


def unused_names(frames: Iterable[Atoms]) -> list[str]:
    """Names that look like forces, stress or virials but are not read, in any structure."""
    names = {name for atoms in frames for name in (*atoms.info, *atoms.arrays)} - {"energy", "forces", "stress"}
    return sorted(name for name in names if any(word in name.lower() for word in ("force", "virial", "stress")))


def without_references(graph: Graph, references: Sequence[float]) -> Graph:
    """Same graph with its energy label above the references.

    Done once in float64: a total energy of 1e4 eV has only meV left in float32.
    """
    if graph.energy is None:
        return graph
    per_atom = torch.tensor(references, dtype=torch.float64)[graph.species]
    return replace(graph, energy=graph.energy - per_atom.sum())
