"""Prints the lines of the logger ``tdn`` on standard output, unchanged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("tdn")


class PrintingHandler(logging.Handler):
    """Prints the text of every record and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print, at once even into a pipe."""
        print(self.format(record), flush=True)


@contextmanager
def printed_log() -> Iterator[None]:
    """Print the lines of the logger while the block runs; commands do this, and scripts may."""
    handler, level, propagates = PrintingHandler(), LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # a program that configures the root logger would print each line twice
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagates
