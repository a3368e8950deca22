"""Structures of a source, trajectory by trajectory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tdn.data.progress import tracked
from tdn.data.source_base import Source
from tdn.data.structure import Structure


def in_order(source: Source) -> Iterator[tuple[int, int, Structure]]:
    """Group, step in its group and structure, group by group."""
    groups = source.get_groups()
    labels = np.arange(len(source)) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    last, step = -1, 0
    for index in tracked(order.tolist(), len(order), "converting"):
        group = int(labels[index])
        step, last = (step + 1 if group == last else 0), group
        yield group, step, source[index]
