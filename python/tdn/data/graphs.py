"""Graphs of the structures of a source: kept in memory if they are few, built on demand if they are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tdn.data.build import graph_from_structure
from tdn.data.dataset import without_references
from tdn.data.graph import Graph, given
from tdn.data.progress import tracked
from tdn.data.source_base import Source


@dataclass
class GraphSet(Dataset):
    """Labeled graphs of a source, float64, in its order.

    Without ``kept`` graphs, memory does not depend on the number of structures: each call reads and builds one, in any
    process. A negative index ``~i`` gives structure ``i`` without labels, for a process whose share of a batch has no
    structure.
    """

    source: Source
    elements: tuple[str, ...]
    cutoff: float  #: angstrom
    references: Sequence[float] | None = None  #: eV by element; energies of the graphs are relative to them
    kept: list[Graph] | None = None  #: every graph, with energies as in the source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Graph:
        if index < 0:
            return without_labels(self[~index])
        graph = self.original(index)
        return graph if self.references is None else without_references(graph, self.references)

    def __iter__(self) -> Iterator[Graph]:
        return (self[index] for index in range(len(self)))

    def original(self, index: int) -> Graph:
        """Graph with the energy as in the source."""
        if self.kept is not None:
            return self.kept[index]
        return graph_from_structure(self.source[index], self.elements, self.cutoff)

    def above(self, references: Sequence[float] | None) -> GraphSet:
        """The same graphs with energies relative to other references."""
        return replace(self, references=references)

    def keep_if_small(self, limit: float) -> GraphSet:
        """The same set with all graphs in memory if, estimated from a few, they take at most ``limit`` bytes."""
        n = len(self)
        few = [self.original(index) for index in spread(n, 32)]
        if sum(size_of(graph) for graph in few) / max(len(few), 1) * n > limit:
            return self
        indices = tracked(range(n), n, "building graphs")
        return replace(self, kept=few if n == len(few) else [self.original(index) for index in indices])

    def edge_counts(self) -> list[int] | None:
        """Number of edges of each structure, if all graphs are in memory."""
        return None if self.kept is None else [len(graph.center) for graph in self.kept]


def spread(n: int, limit: int) -> list[int]:
    """At most ``limit`` of the numbers 0 .. n - 1, evenly spread."""
    return list(range(n)) if n <= limit else np.linspace(0, n - 1, limit).astype(int).tolist()


def size_of(graph: Graph) -> int:
    """Bytes of a graph's tensors."""
    values = (getattr(graph, field.name) for field in fields(graph))
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def without_labels(graph: Graph) -> Graph:
    """The same structure with every label missing."""
    energy, forces = (torch.full_like(given(label), torch.nan) for label in (graph.energy, graph.forces))
    return replace(graph, energy=energy, forces=forces, has_stress=torch.zeros_like(given(graph.has_stress)))
