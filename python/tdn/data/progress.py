"""Progress of a long pass over data: a bar on a terminal, occasional lines elsewhere, nothing for a short pass."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two lines without a terminal; a shorter pass prints nothing.
INTERVAL = 20.0


def tracked(items: Iterable[T], total: int, what: str, done: int = 0) -> Iterator[T]:
    """The items, with progress on standard error.

    Args:
        items: passed through unchanged.
        total: number of items, including those done before.
        what: what is being done, for instance "indexing Data06.lmdb".
        done: items that an earlier pass did.
    """
    return _bar(items, total, what, done) if sys.stderr.isatty() else _lines(items, total, what, done)


def _bar(items: Iterable[T], total: int, what: str, done: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[T], total: int, what: str, done: int) -> Iterator[T]:
    start = last = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last > INTERVAL:
            last = now
            left = (now - start) / number * (total - done - number)
            print(f"{what}: {done + number:,} of {total:,}, {left / 60:.0f} min left", file=sys.stderr, flush=True)
