"""Models in processes that are forked, as ``multiprocessing`` does on Linux."""

from __future__ import annotations

import os
from functools import cache

import torch


@cache
def compute_serially_after_fork() -> None:
    """Forked processes compute with one thread.

    A fork copies no threads, but OpenMP in the copy waits for those that the process had before: an evaluation would
    never end.
    """
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
