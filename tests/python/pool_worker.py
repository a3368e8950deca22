"""A calculator in a pool of processes: ``python pool_worker.py MODEL fork|spawn``.

Prints ``same`` when the pool has the results of this process, once with the calculator that a forked process inherits
and once with calculators that are sent. Run as a process of its own: what a fork must not do is wait for ever.
"""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import structures
import torch
from ase import Atoms

from tdn.ase import TDNCalculator

calculator: TDNCalculator | None = None


def forces_of(atoms: Atoms) -> np.ndarray:
    """With the structure's own calculator, or with the one this process was forked with."""
    if atoms.calc is None:
        atoms.calc = calculator
    return atoms.get_forces()


def frames(calculator: TDNCalculator | None) -> list[Atoms]:
    """Large enough that every thread has work."""
    out = [structures.rattled(structures.silicon_triclinic(), 0.02, seed) for seed in range(3)]
    for atoms in out:
        atoms.calc = calculator
    return out


def main(model: str, method: str) -> None:
    global calculator
    torch.set_num_threads(2)
    calculator = TDNCalculator(model)
    expected = [forces_of(atoms) for atoms in frames(None)]
    with multiprocessing.get_context(method).Pool(1) as pool:
        for sent in [calculator] + ([None] if method == "fork" else []):
            for a, b in zip(pool.map(forces_of, frames(sent)), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    print("same")


if __name__ == "__main__":
    main(*sys.argv[1:])
