"""Iteration in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tdn.errors import TDNError

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive items in lists of ``size``; the last list may be shorter."""
    if size < 1:
        raise TDNError(f"the batch size is {size}; give a positive number")
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
