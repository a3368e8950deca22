"""Splits of a source, by trajectory if it has them, because snapshots of one relaxation resemble each other."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from tdn.data.source import Source, Subset
from tdn.errors import TDNError

#: Seed and ratios (train, valid) of the published results on PubChemQCR: for a subset of one shard, and for the whole.
PUBLISHED_SEED = 42
SUBSET_RATIOS = (0.6, 0.2)
FULL_RATIOS = (0.8, 0.1)
PARTS = ("train", "valid", "test")


def split_source(source: Source, fraction: float, seed: int = 0) -> tuple[Source, Source]:
    """Training and validation parts; no trajectory is in both.

    Args:
        source: structures; those of one group (``source.get_groups()``) stay together.
        fraction: share of the groups, or of the structures if there are no groups, for validation.
        seed: of the shuffle.

    Raises:
        TDNError: the fraction is not between 0 and 1 or leaves one part empty.
    """
    groups = source.get_groups()
    labels = np.arange(len(source)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(labels.max(initial=-1)) + 1
    n_valid = round(fraction * n_groups) if 0 < fraction < 1 else 0
    if not 0 < n_valid < n_groups:
        kind = "structures" if groups is None else "trajectories"
        raise TDNError(
            f"a validation fraction of {fraction} of {n_groups} {kind} leaves a part empty; "
            "give a fraction between 0 and 1 that keeps at least one for each, or a file for validation"
        )
    order = np.random.default_rng(seed).permutation(n_groups)
    held_out = np.zeros(n_groups, dtype=bool)
    held_out[order[:n_valid]] = True
    valid = held_out[labels]
    return Subset(source, np.flatnonzero(~valid)), Subset(source, np.flatnonzero(valid))


def published_split(n_trajectories: int, part: str, ratios: tuple[float, float]) -> NDArray[np.int64]:
    """Trajectories of one part, in the published order.

    Python's generator is seeded with 42 and shuffles the numbers 0 .. n - 1; the first ``int(ratios[0] * n)`` are for
    training, the next ``int(ratios[1] * n)`` for validation, the rest for the test.
    """
    order = list(range(n_trajectories))
    random.Random(PUBLISHED_SEED).shuffle(order)
    n_train, n_valid = (int(ratio * n_trajectories) for ratio in ratios)
    cuts = {"train": (0, n_train), "valid": (n_train, n_train + n_valid), "test": (n_train + n_valid, n_trajectories)}
    first, last = cuts[part]
    return np.array(order[first:last], dtype=np.int64)
