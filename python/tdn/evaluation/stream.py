"""Labeled structures of a source as graphs, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tdn.data.build import graph_from_structure
from tdn.data.graph import Graph
from tdn.data.source import Source, Subset
from tdn.errors import TDNError
from tdn.evaluation.evaluate import Evaluation


def labeled_graphs(
    source: Source, elements: Sequence[str], cutoff: float, names: deque[str] | None = None
) -> Iterator[Graph]:
    """Graph of each structure, read on demand.

    Args:
        source: structures with labels; forces on held atoms are not labels.
        elements: elements of the model.
        cutoff: angstrom.
        names: receives the name of each structure before its graph is yielded.
    """
    for structure in source:
        if names is not None:
            names.append(structure.name)
        yield graph_from_structure(structure, elements, cutoff)


def spread(source: Source, limit: int | None) -> Source:
    """At most ``limit`` structures, evenly spread, because neighbors in a trajectory resemble each other."""
    if limit is None or limit >= len(source):
        return source
    if limit < 1:
        raise TDNError(f"the limit is {limit} structures; give a positive number")
    return Subset(source, np.arange(limit) * len(source) // limit)


def with_unread(evaluation: Evaluation, source: Source) -> Evaluation:
    """The evaluation of a source, whose notes begin with the labels that the source has and does not read."""
    note = source.unread_labels().note()
    return replace(evaluation, notes=[note, *evaluation.notes]) if note else evaluation
