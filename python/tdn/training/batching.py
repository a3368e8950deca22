"""Divides the structures of an epoch into batches, and each batch among the processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Sampler

from tdn.config.training import TrainingConfig
from tdn.data.graph import collate
from tdn.data.graphs import GraphSet


class EpochBatches(Sampler[list[int]]):
    """Batches of one process in one epoch; they depend on seed and epoch only, so that a resumed run repeats them.

    The batches of all processes together equal those of one process: each takes every ``world``-th structure of a
    batch. A process for which none is left gets the batch's first structure without labels, written ``~index``.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int | None = None,
        edges: Sequence[float] | None = None,
        max_edges: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Set up.

        Args:
            n: number of structures.
            batch_size: structures in a batch.
            seed: seed of the run; None keeps the order of the structures.
            edges: number of edges of each structure, counted or estimated.
            max_edges: fill batches up to this many edges instead of ``batch_size``.
            rank: number of this process.
            world: number of processes.
        """
        self.n = n
        self.batch_size = batch_size
        self.seed = seed
        self.edges = None if edges is None else [float(count) for count in edges]
        self.max_edges = max_edges
        self.rank, self.world = rank, world
        self.first = 0  #: batches of this epoch that were done before an interruption
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Make the batches of an epoch (from 0): an order and the starts of batches, 4 bytes per structure."""
        self.order = torch.arange(self.n, dtype=torch.int32)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            self.order = torch.randperm(self.n, generator=generator).to(torch.int32)
        if self.max_edges is None or self.edges is None:
            self.starts: Sequence[int] = range(0, self.n, self.batch_size)
        else:
            self.starts = filled([self.edges[index] for index in self.order.tolist()], self.max_edges)

    @property
    def n_batches(self) -> int:
        """Batches of the whole epoch."""
        return len(self.starts)

    def batch(self, number: int) -> list[int]:
        """Structures of a batch, for all processes."""
        end = self.starts[number + 1] if number + 1 < self.n_batches else self.n
        return self.order[self.starts[number] : end].tolist()

    def __len__(self) -> int:
        return self.n_batches - self.first

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self.first, self.n_batches):
            batch = self.batch(number)
            yield batch[self.rank :: self.world] or [~batch[0]]


def filled(edges: Sequence[float], limit: float) -> list[int]:
    """Starts of batches that are each filled up to ``limit`` edges; a structure with more edges is its own batch."""
    starts: list[int] = []
    total = limit
    for place, count in enumerate(edges):
        if total + count > limit:
            starts.append(place)
            total = 0.0
        total += count
    return starts


def build_loader(
    graphs: GraphSet, options: TrainingConfig, average_edges: float, shuffle: bool, rank: int = 0, world: int = 1
) -> DataLoader:
    """Batches of graphs; ``loader.batch_sampler`` is an :class:`EpochBatches`.

    Args:
        graphs: energies above the references.
        options: ``batch_size``, ``max_edges``, ``seed``, ``workers``.
        average_edges: mean number of edges of a structure, used if their numbers are not known.
        shuffle: a new order in every epoch.
        rank: number of this process.
        world: number of processes.
    """
    batch_size, edges = options.batch_size, None
    if options.max_edges is not None:
        edges = graphs.edge_counts()
        if edges is None:
            batch_size = max(1, int(options.max_edges / max(average_edges, 1.0)))
    seed = options.seed if shuffle else None
    batches = EpochBatches(len(graphs), batch_size, seed, edges, options.max_edges, rank, world)
    workers = options.workers if graphs.kept is None else 0
    return DataLoader(
        graphs,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),  # leaves the global random state, and so dropout, alone
    )


def batches_of(loader: DataLoader) -> EpochBatches:
    """The batches of a loader."""
    sampler = loader.batch_sampler
    assert isinstance(sampler, EpochBatches)
    return sampler


def graphs_of(loader: DataLoader) -> GraphSet:
    """The graphs of a loader."""
    assert isinstance(loader.dataset, GraphSet)
    return loader.dataset
