"""Labeled structures from files, read and turned into graphs once, before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import torch
from ase import Atoms
from ase.data import atomic_numbers

from tdn.data.build import graph_from_atoms
from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.files import first_line


@dataclass(frozen=True)
class LabeledSet:
    """Graphs with labels, in the order of the files."""

    graphs: list[Graph]  #: structures to learn from
    isolated: list[Graph]  #: single atoms without neighbors; they give reference energies
    files: list[str]  #: names of the files, without folders

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def min_distance(self) -> float:
        """Shortest pair, angstrom; 0 when there is no pair."""
        shortest = [float(graph.vectors.norm(dim=1).min()) for graph in self.graphs if len(graph.vectors)]
        return min(shortest, default=0.0)

    @property
    def average_degree(self) -> float:
        """Average number of neighbors of an atom within the cutoff."""
        n_atoms = sum(len(graph.species) for graph in self.graphs)
        return sum(len(graph.center) for graph in self.graphs) / max(n_atoms, 1)


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


def elements_of(frames: Iterable[Atoms]) -> tuple[str, ...]:
    """Chemical symbols that occur, by atomic number."""
    return tuple(sorted({symbol for atoms in frames for symbol in atoms.symbols}, key=atomic_numbers.__getitem__))


def read_labeled(paths: Sequence[str | Path], elements: Sequence[str], cutoff: float) -> LabeledSet:
    """Read files into labeled graphs; every complaint names the file and the structure."""
    return labeled_set([(Path(path).name, read_frames(path)) for path in paths], elements, cutoff)


def labeled_set(files: Sequence[tuple[str, list[Atoms]]], elements: Sequence[str], cutoff: float) -> LabeledSet:
    """Graphs of frames that are already read, given as (file name, frames)."""
    graphs: list[Graph] = []
    isolated: list[Graph] = []
    for name, frames in files:
        for number, atoms in enumerate(frames):
            try:
                graph = graph_from_atoms(atoms, elements, cutoff, labels=True)
            except TDNError as problem:
                raise TDNError(f"structure {number} of {name}: {problem}") from None
            single = len(atoms) == 1 and len(graph.center) == 0
            (isolated if single else graphs).append(graph)
    return LabeledSet(graphs, isolated, [name for name, _ in files])


def without_references(graph: Graph, references: Sequence[float]) -> Graph:
    """Same graph with its energy label above the references.

    Done once in float64: a total energy of 1e4 eV has only meV left in float32.
    """
    if graph.energy is None:
        return graph
    per_atom = torch.tensor(references, dtype=torch.float64)[graph.species]
    return replace(graph, energy=graph.energy - per_atom.sum())
