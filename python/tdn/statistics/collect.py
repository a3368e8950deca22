"""Constants that a model takes from its training data in one pass: references, scale, averages, shortest distances."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.data.source import Concatenation, Source, Subset
from tdn.data.source_base import hashed
from tdn.files import write_atomically
from tdn.statistics.references import choose_references, composition, energy_scale, isolated_energies
from tdn.statistics.units import UnitCheck

#: Raised when the meaning of an entry changes, so that older caches are not read.
VERSION = 3


@dataclass(frozen=True)
class Statistics:
    """Constants from the training structures."""

    n_structures: int  #: number of structures that were read
    average_atoms: float  #: mean number of atoms of a structure
    average_degree: float  #: mean number of neighbors of an atom within the cutoff
    average_edges: float  #: mean number of edges of a structure
    min_distance: float  #: angstrom, shortest pair; 0 if there is no pair
    min_distances: dict[str, float]  #: the same for each unordered pair of elements that occurs: {"H-O": 0.93}
    references: list[float]  #: eV, in the order of the model's elements
    references_from: str  #: "isolated atoms", "least squares" or "configuration"
    scale: float  #: eV (and eV/angstrom): root mean square of the force components
    labels: dict[str, int]  #: number of structures with ``energies``, ``forces``, ``stress``
    isolated: list[str] = field(default_factory=list)  #: elements that occur as isolated atoms
    n_compositions: int = 0  #: different ratios of elements
    warnings: list[str] = field(default_factory=list)  #: labels that are probably in another unit, in sentences

    @property
    def references_are_sums(self) -> bool:
        """Whether the compositions determine only a sum of the references."""
        return self.references_from == "least squares" and self.n_compositions < len(self.references)


class Collector:
    """Running sums over labeled graphs."""

    def __init__(self, elements: Sequence[str]) -> None:
        """Args: ``elements`` of the model."""
        self.elements = tuple(elements)
        self.counts: list[Tensor] = []
        self.energies: list[float] = []
        self.n_edges = 0
        self.force_squares, self.n_forces = 0.0, 0
        self.shortest = torch.full((len(self.elements) ** 2,), math.inf, dtype=torch.float64)
        self.labels = {"energies": 0, "forces": 0, "stress": 0}
        self.units = UnitCheck()

    def add(self, graph: Graph) -> None:
        """Count one structure."""
        self.counts.append(composition([graph], len(self.elements))[0])
        self.energies.append(float(given(graph.energy)))
        self.n_edges += len(graph.center)
        forces = given(graph.forces)
        known = forces[torch.isfinite(forces)]
        self.force_squares += float(known.square().sum())
        self.n_forces += len(known)
        self.labels["energies"] += math.isfinite(self.energies[-1])
        self.labels["forces"] += len(known) > 0
        self.labels["stress"] += bool(given(graph.has_stress).all())
        self.units.add_graph(graph)
        pair = graph.species[graph.center] * len(self.elements) + graph.species[graph.neighbor]
        self.shortest.scatter_reduce_(0, pair, graph.vectors.norm(dim=1), "amin")

    def distances(self) -> dict[str, float]:
        """Shortest distance of each unordered pair of elements that occurs, angstrom."""
        n = len(self.elements)
        table = self.shortest.view(n, n).minimum(self.shortest.view(n, n).t())
        return {
            f"{self.elements[i]}-{self.elements[j]}": float(table[i, j])
            for i in range(n)
            for j in range(i, n)
            if math.isfinite(table[i, j])
        }

    def result(self, requested: str | dict, isolated: Sequence[Graph]) -> Statistics:
        """The statistics; ``requested`` and ``isolated`` as in ``choose_references``."""
        counts = torch.stack(self.counts) if self.counts else torch.zeros(0, len(self.elements), dtype=torch.float64)
        energies = torch.tensor(self.energies, dtype=torch.float64)
        references, source = choose_references(requested, counts, energies, isolated, self.elements)
        n, n_atoms = max(len(counts), 1), float(counts.sum())
        mean_square = self.force_squares / self.n_forces if self.n_forces else None
        ratios = (counts / counts.sum(1, keepdim=True)).round(decimals=6)
        return Statistics(
            n_structures=len(counts),
            average_atoms=n_atoms / n,
            average_degree=self.n_edges / max(n_atoms, 1.0),
            average_edges=self.n_edges / n,
            min_distance=min(self.distances().values(), default=0.0),
            min_distances=self.distances(),
            references=references,
            references_from=source,
            scale=energy_scale(mean_square, counts, energies, references),
            labels=self.labels,
            isolated=[self.elements[species] for species in sorted(isolated_energies(isolated))],
            n_compositions=len(torch.unique(ratios, dim=0)) if len(ratios) else 0,
            warnings=self.units.warnings(),
        )


def collect(
    graphs: Iterable[Graph], isolated: Sequence[Graph], elements: Sequence[str], requested: str | dict
) -> Statistics:
    """Statistics of labeled graphs, in one pass; ``requested`` and ``isolated`` as in ``choose_references``."""
    collector = Collector(elements)
    for graph in graphs:
        collector.add(graph)
    return collector.result(requested, isolated)


def sampled(source: Source, limit: int) -> list[int]:
    """Indices of about ``limit`` structures: all of a small part of joined sources, a random choice of a large part.

    Small parts are read as a whole since they may matter most: a file of isolated atoms beside a large data set.
    """
    if isinstance(source, Concatenation):
        share = max(1, limit // max(len(source.sources), 1))
        chosen, first = [], 0
        for part in source.sources:
            chosen += [first + index for index in sampled(part, share)]
            first += len(part)
        return chosen
    if len(source) <= limit:
        return list(range(len(source)))
    if isinstance(source, Subset) and isinstance(source.source, Concatenation):
        return sampled_subset(source, limit)
    generator = torch.Generator().manual_seed(0)
    return sorted(torch.randint(len(source), (limit,), generator=generator).unique().tolist())


def sampled_subset(source: Subset, limit: int) -> list[int]:
    """As :func:`sampled`, for a subset of joined sources."""
    assert isinstance(source.source, Concatenation)
    ends = torch.tensor([len(part) for part in source.source.sources]).cumsum(0)
    part = torch.searchsorted(ends, torch.from_numpy(source.indices), right=True)
    share = max(1, limit // len(ends))
    generator = torch.Generator().manual_seed(0)
    chosen: list[int] = []
    for number in range(len(ends)):
        indices = (part == number).nonzero()[:, 0]
        order = torch.randperm(len(indices), generator=generator)[:share]
        chosen += indices[order].tolist()
    return sorted(chosen)


def cache_file(folder: Path, source: Source, *options: Any) -> Path:
    """File for the statistics of a source with these options."""
    return folder / f"{hashed(VERSION, source.fingerprint(), *options)[:24]}.json"


def read_cache(path: Path) -> Statistics | None:
    """Statistics of an earlier pass; None if the file is missing or has another version."""
    try:
        return Statistics(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_cache(path: Path, statistics: Statistics) -> None:
    """Store statistics for a later run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(statistics), indent=1)
    write_atomically(lambda part: Path(part).write_text(text, encoding="utf-8"), path)
