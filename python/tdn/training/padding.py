"""Batches of fixed shapes: a step is compiled once for each shape, so batches are padded to a few shapes.

Padding is exact: the added atoms form a separate structure, their edges are longer than the cutoff and end at the
last of these atoms, and their labels are missing, so that they have no weight in any loss or error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from tdn.data.graph import Graph

#: Sizes are rounded up to multiples of 1/8 of the power of two below: at most 12.5 % of the work is wasted.
STEPS_PER_OCTAVE = 8
#: A known shape up to 1/8 larger is still used, because compiling another takes minutes.
MAX_WASTE = 8


@dataclass(frozen=True)
class Shape:
    """Sizes of a batch; padded batches have at least one atom more than their structures."""

    n_atoms: int
    n_edges: int
    n_graphs: int

    def holds(self, other: Shape) -> bool:
        """Whether a batch of the other shape can be padded to this one."""
        sizes = ((self.n_atoms, other.n_atoms), (self.n_edges, other.n_edges), (self.n_graphs, other.n_graphs))
        return all(own >= needed for own, needed in sizes)


def needed_shape(graph: Graph) -> Shape:
    """Smallest shape for a batch: one more atom, which is a separate structure."""
    return Shape(graph.species.size(0) + 1, graph.center.size(0), graph.n_graphs + 1)


class Shapes:
    """Chooses a shape for every batch; new ones are rounded up, so that batches of similar size share a shape."""

    def __init__(self, known: Sequence[Shape] = ()) -> None:
        """Args: ``known``: initial shapes."""
        self.known = list(known)

    def fit(self, graph: Graph) -> Shape:
        """The smallest known shape that holds the batch and wastes little, else a new shape."""
        needed = needed_shape(graph)
        rounded = Shape(round_up(needed.n_atoms), round_up(needed.n_edges), round_up(needed.n_graphs))
        limit = Shape(*(size + size // MAX_WASTE + 1 for size in vars(rounded).values()))
        fitting = [shape for shape in self.known if shape.holds(needed) and limit.holds(shape)]
        if not fitting:
            self.known.append(rounded)
            return rounded
        return min(fitting, key=lambda shape: (shape.n_edges, shape.n_atoms))


def round_up(size: int) -> int:
    """The next multiple of 1/8 of the power of two at or below ``size``."""
    if size <= STEPS_PER_OCTAVE:
        return size
    step = 2 ** (size.bit_length() - 1) // STEPS_PER_OCTAVE
    return step * math.ceil(size / step)


def fill_up(graph: Graph, shape: Shape, cutoff: float) -> Graph:
    """Add atoms, edges and structures without labels up to ``shape``.

    Args:
        graph: a batch on any device.
        shape: must hold :func:`needed_shape`.
        cutoff: angstrom; added edges are twice as long.
    """
    atoms = shape.n_atoms - graph.species.size(0)
    edges = shape.n_edges - graph.center.size(0)
    graphs = shape.n_graphs - graph.n_graphs
    assert atoms > 0 and graphs > 0 and edges >= 0, f"{shape} does not hold {needed_shape(graph)}"
    last = shape.n_atoms - 1
    added = {
        "species": (atoms, 0),
        "center": (edges, last),
        "neighbor": (edges, last),
        "batch": (atoms, shape.n_graphs - 1),
        "volume": (graphs, 0.0),
        "energy": (graphs, math.nan),
        "forces": (atoms, math.nan),
        "stress": (graphs, 0.0),
        "has_stress": (graphs, False),
    }
    changes: dict[str, Any] = {"n_graphs": shape.n_graphs, "vectors": far_edges(graph.vectors, edges, 2.0 * cutoff)}
    for field in fields(Graph):
        value = getattr(graph, field.name)
        if field.name in added and isinstance(value, Tensor):
            count, content = added[field.name]
            changes[field.name] = torch.cat([value, value.new_full((count, *value.shape[1:]), content)])
    return replace(graph, **changes)


def far_edges(vectors: Tensor, count: int, length: float) -> Tensor:
    """Vectors (n_edges, 3) with ``count`` more along x, where every envelope is zero."""
    added = vectors.new_zeros(count, 3)
    added[:, 0] = length
    return torch.cat([vectors, added])
