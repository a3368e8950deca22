"""The data that a model reads: atoms and directed edges of one or several structures.

Conventions (written once in ARCHITECTURE.md): edge vector ``r_ij = r_j - r_i + shift @ cell``, i = center (receives),
j = neighbor (sends); every edge is stored by its center and edges are sorted by center.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """Atoms and edges of ``n_graphs`` structures; all tensors on one device."""

    species: Tensor  #: (n_atoms,) int64, index into the model's list of elements
    center: Tensor  #: (n_edges,) int64, index of the receiving atom i, ascending
    neighbor: Tensor  #: (n_edges,) int64, index of the sending atom j
    vectors: Tensor  #: (n_edges, 3) angstrom, r_j - r_i, periodic shift applied
    batch: Tensor  #: (n_atoms,) int64, index of the structure of each atom, ascending
    n_graphs: int = 1
    volume: Tensor | None = None  #: (n_graphs,) angstrom^3, zero unless periodic in three directions
    energy: Tensor | None = None  #: (n_graphs,) eV, label
    forces: Tensor | None = None  #: (n_atoms, 3) eV/angstrom, label
    stress: Tensor | None = None  #: (n_graphs, 3, 3) eV/angstrom^3, label, ASE's sign (tension positive)
    has_stress: Tensor | None = None  #: (n_graphs,) bool, which rows of ``stress`` are labels

    @property
    def sizes(self) -> Tensor:
        """Number of atoms of each structure, (n_graphs,) int64; its shape depends only on those of the graph."""
        ones = torch.ones_like(self.batch)
        return torch.zeros(self.n_graphs, dtype=torch.int64, device=ones.device).index_add(0, self.batch, ones)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graph:
        """Copy with every tensor on ``device`` and every floating-point tensor in ``dtype``."""
        changes: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        return replace(self, **changes)


def given(label: Tensor | None) -> Tensor:
    """A label of a graph that was built with labels."""
    assert label is not None, "the graph was built without labels"
    return label


def collate(graphs: Sequence[Graph]) -> Graph:
    """Join structures into one graph; atoms and edges keep their order, so edges stay sorted by center.

    An optional field is joined only when every structure has it: a batch is either labeled or not
    (single missing labels are NaN, or ``has_stress`` false).
    """
    atoms = [graph.species.shape[0] for graph in graphs]
    atom_offsets = [0, *accumulate(atoms)]
    graph_offsets = [0, *accumulate(graph.n_graphs for graph in graphs)]
    joined: dict[str, Any] = {
        "center": torch.cat([graph.center + first for graph, first in zip(graphs, atom_offsets, strict=False)]),
        "neighbor": torch.cat([graph.neighbor + first for graph, first in zip(graphs, atom_offsets, strict=False)]),
        "batch": torch.cat([graph.batch + first for graph, first in zip(graphs, graph_offsets, strict=False)]),
        "n_graphs": graph_offsets[-1],
    }
    for field in fields(Graph):
        if field.name in joined:
            continue
        values = [getattr(graph, field.name) for graph in graphs]
        joined[field.name] = None if any(value is None for value in values) else torch.cat(values)
    return Graph(**joined)
