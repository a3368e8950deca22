"""ASE structures from files, and energies above references."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ase.io
import torch
from ase import Atoms

from tdn.data.formats.xyz_source import XyzSource
from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.files import first_line


def read_frames(path: str | Path) -> list[Atoms]:
    """Every structure of a file that ASE can read; extended XYZ is checked, line by line, by the reader of sources."""
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"data file '{path}' does not exist; correct the path (environment variables are expanded)")
    source = XyzSource(path) if path.suffix in (".xyz", ".extxyz") else None
    try:
        if source is not None:
            return [frame_of_ase(source, index) for index in range(len(source))]
        frames = ase.io.read(path, index=":")
    except TDNError:
        raise
    except Exception as problem:  # ASE's readers raise anything
        raise TDNError(
            f"data file '{path}' cannot be read by ASE: {first_line(problem)}; write it as extended XYZ"
        ) from problem
    if not frames:
        raise TDNError(f"data file '{path}' holds no structures; give a file with at least one")
    return frames if isinstance(frames, list) else [frames]


def frame_of_ase(source: XyzSource, index: int) -> Atoms:
    """A frame as ASE reads it, with everything besides the labels."""
    source[index]
    (atoms,) = ase.io.read(io.StringIO(source.text(index).rstrip() + "\n"), format="extxyz", index=":")
    return atoms


def without_references(graph: Graph, references: Sequence[float]) -> Graph:
    """The same graph with its energy label relative to the references.

    This is done once in float64: float32 resolves a total energy of 1e4 eV only to meV.
    """
    if graph.energy is None:
        return graph
    per_atom = torch.tensor(references, dtype=torch.float64)[graph.species]
    return replace(graph, energy=graph.energy - per_atom.sum())
