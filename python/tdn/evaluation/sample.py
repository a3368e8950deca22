"""Pairs of label and prediction for a parity plot: a random sample of bounded size from a stream."""

from __future__ import annotations

import torch
from torch import Tensor


class Sample:
    """All pairs in order as long as there are few, then a sample in which every pair has the same probability.

    Every pair draws a random key, and the pairs with the smallest keys are kept.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        """Keep at most ``capacity`` pairs."""
        self.capacity = capacity
        self.pairs = torch.zeros(2, 0, dtype=torch.float64)
        self.keys = torch.zeros(0, dtype=torch.float64)
        self.generator = torch.Generator().manual_seed(seed)

    def add(self, label: Tensor, predicted: Tensor) -> None:
        """Offer values of any equal shape; those without a finite label are left out."""
        both = torch.stack([label.flatten().double(), predicted.detach().flatten().double()]).cpu()
        both = both[:, both[0].isfinite()]
        self.pairs = torch.cat([self.pairs, both], dim=1)
        new = torch.rand(both.shape[1], generator=self.generator, dtype=torch.float64)
        self.keys = torch.cat([self.keys, new])
        if len(self.keys) > self.capacity:
            kept = self.keys.topk(self.capacity, largest=False, sorted=False).indices.sort().values
            self.pairs, self.keys = self.pairs[:, kept], self.keys[kept]
