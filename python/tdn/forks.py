"""Models in forked processes, which ``multiprocessing`` uses on Linux."""

from __future__ import annotations

import os
import sys
from functools import cache

_forked = False


@cache
def compute_serially_after_fork() -> None:
    """Let forked processes compute with one thread.

    A fork copies no threads, but OpenMP in the child waits for those of the parent: an evaluation would never end.
    """
    os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _forked
    _forked = True
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def engine_threads() -> int:
    """Threads of an evaluation: one after a fork, else as many as torch uses if it is loaded, else 0 (OpenMP's)."""
    if _forked:
        return 1
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None and hasattr(torch, "get_num_threads") else 0
