"""Sums of an epoch: losses and errors of every property in one tensor, which processes sum and checkpoints store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tdn.data.graph import Graph
from tdn.evaluation.metrics import Difference, ErrorSums, batch_sums
from tdn.training.loss import Term

#: Errors that are summed over structures, besides those of each property.
EXTRA = "force_structure"


def rows_of(errors: Mapping[str, Difference], terms: Mapping[str, Term], graph: Graph) -> Tensor:
    """Sums of a batch, without gradient: (2 n + 1, 3) float64 for n properties.

    Rows: for each property the sums of weights, absolute and squared errors; the same for ``EXTRA``; for each property
    number and sum of the loss's values, and 0.
    """
    sums = batch_sums(errors, graph)
    losses = [torch.stack([term.number.double(), term.total.detach().double()]) for term in terms.values()]
    return torch.stack([*(sums[name] for name in (*errors, EXTRA)), *(F.pad(values, (0, 1)) for values in losses)])


class Tally:
    """Sums of batches."""

    def __init__(self, properties: Sequence[str], rows: Tensor | None = None) -> None:
        """Args: ``properties`` in the order of the errors; ``rows`` of a resumed run."""
        self.properties = tuple(properties)
        self.rows = torch.zeros(2 * len(self.properties) + 1, 3, dtype=torch.float64) if rows is None else rows.clone()

    def add(self, rows: Tensor) -> None:
        """Count a batch."""
        self.rows = self.rows.to(rows.device) + rows

    def reduced(self, total: Callable[[Tensor], Tensor]) -> Tally:
        """Sums over processes; ``total`` sums a tensor over them."""
        return Tally(self.properties, total(self.rows).cpu())

    def result(self, weights: Mapping[str, float]) -> dict[str, float]:
        """``loss`` with these weights of the properties, and the errors as in ``ErrorSums.result``."""
        n = len(self.properties)
        sums = dict(zip((*self.properties, EXTRA), self.rows[: n + 1], strict=True))
        losses = self.rows[n + 1 :].tolist()
        loss = sum(weights[name] * row[1] / max(row[0], 1.0) for name, row in zip(self.properties, losses, strict=True))
        return {"loss": loss, **ErrorSums(sums).result()}
