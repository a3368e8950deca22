"""Compares the energies of isolated atoms in the structures that training reads: one element must have one energy.

Most formats know the sizes of their structures without reading them, and :mod:`tdn.training.prepare` has compared these
atoms before training. If the size is known only after reading a structure (OC20), large data are not read again for
this: every batch is examined on its way to the model, so that the first epoch finds all isolated atoms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.data.graphs import GraphSet
from tdn.statistics.isolated import SAME_ENERGY, check_agreement, single_atom


class Processes(Protocol):
    """The part of :class:`tdn.training.parallel.Ranks` that is needed here."""

    rank: int
    world: int

    def total(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""


class IsolatedAtoms:
    """The first isolated atom of each element that a process has read, and its energy."""

    def __init__(self, graphs: GraphSet) -> None:
        """Args: ``graphs``: the source of the batches."""
        self.graphs = graphs
        # for each element: 1 if there is one, energy above the reference (eV), index of the structure
        self.found = torch.zeros(len(graphs.elements), 3, dtype=torch.float64)

    def see(self, graph: Graph, indices: Sequence[int]) -> None:
        """Examine a batch.

        Args:
            graph: joined structures, energies in float64, on the CPU.
            indices: indices of the structures; one without labels may be written ``~index``.

        Raises:
            TDNError: an isolated atom has another energy than an earlier one of its element.
        """
        for place, species in isolated_in(graph):
            energy = float(given(graph.energy)[place])
            if math.isfinite(energy):
                self.compare(species, energy, indices[place])

    def compare(self, species: int, energy: float, index: int) -> None:
        """Remember the first atom of an element; refuse others with another energy."""
        known, first_energy, first = self.found[species].tolist()
        if not known:
            self.found[species] = torch.tensor([1.0, energy, index], dtype=torch.float64)
        elif abs(energy - first_energy) > SAME_ENERGY:
            pair = (single_atom(self.graphs.source[number]) for number in (int(first), index))
            check_agreement(atom for atom in pair if atom is not None)

    def agree(self, ranks: Processes) -> None:
        """Compare with the atoms of other processes; all of them call this together.

        Raises:
            TDNError: two isolated atoms of one element have different energies; every process raises one.
        """
        if ranks.world == 1:
            return
        shared = torch.zeros(ranks.world, *self.found.shape, dtype=torch.float64)
        shared[ranks.rank] = self.found
        for found in ranks.total(shared).cpu():
            for species, (known, energy, index) in enumerate(found.tolist()):
                if known:
                    self.compare(species, energy, int(index))


def isolated_in(graph: Graph) -> list[tuple[int, int]]:
    """Place among the joined structures and species of each isolated atom: one atom, no edges."""
    sizes = graph.sizes
    alone = (sizes == 1).nonzero()[:, 0]
    if not len(alone):
        return []
    atoms = (sizes.cumsum(0) - 1)[alone]
    degree = torch.bincount(graph.center, minlength=len(graph.species))
    return [
        (place, int(graph.species[atom]))
        for place, atom in zip(alone.tolist(), atoms.tolist(), strict=True)
        if degree[atom] == 0
    ]
