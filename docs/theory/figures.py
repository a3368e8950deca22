"""Makes every figure and table of docs/theory from fixed seeds, in about a minute on one core.

Usage: python docs/theory/figures.py [NAME ...] (equivariance, universality, ranks, complexity, orientation)
"""

from __future__ import annotations

import sys
import time

import complexity
import equivariance
import orientation
import ranks
import torch
import universality

PARTS = {
    "ranks": ranks.make,
    "equivariance": equivariance.make,
    "universality": universality.make,
    "complexity": complexity.make,
    "orientation": orientation.make,
}


def main() -> None:
    """Make what is named, or all."""
    torch.set_num_threads(1)
    unknown = [name for name in sys.argv[1:] if name not in PARTS]
    if unknown:
        sys.exit(f"no part is called {unknown[0]}; use {', '.join(PARTS)}")
    for name in sys.argv[1:] or PARTS:
        begin = time.perf_counter()
        PARTS[name]()
        print(f"{name}: {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
