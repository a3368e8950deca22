"""One loaded model in many threads: ``python threads_worker.py ARCHIVE ENGINE``.

Prints ``same`` when every thread has the results of a serial evaluation, else which differ. Run as a process of its
own, since memory that threads share by mistake ends in a crash.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ase import Atoms

from tdn.ase import TDNCalculator, predict
from tdn.deployment import DeployedModel

N_THREADS = 4
N_STRUCTURES = 24


def structure(model: DeployedModel, number: int) -> Atoms:
    """Structures of different sizes; the elements come one after the other, so that new tables are made on the way."""
    rng = np.random.default_rng(number)
    n_atoms = 3 + 7 * (number % 5)
    known = model.elements[: 1 + number]
    sites = np.stack(np.meshgrid(*[np.arange(4) * 1.6] * 3), -1).reshape(-1, 3)[:n_atoms]
    return Atoms(rng.choice(known, n_atoms), sites + rng.uniform(-0.2, 0.2, (n_atoms, 3)))


def by_calculator(model: DeployedModel) -> Callable[[Atoms], np.ndarray]:
    """Energy and forces by a calculator for each structure."""

    def run(atoms: Atoms) -> np.ndarray:
        atoms = atoms.copy()
        atoms.calc = TDNCalculator(model)
        return np.append(atoms.get_forces().ravel(), atoms.get_potential_energy())

    return run


def by_one_calculator(model: DeployedModel) -> Callable[[Atoms], np.ndarray]:
    """The same by one calculator of all threads."""
    shared = TDNCalculator(model)
    return lambda atoms: np.append(shared.get_forces(atoms).ravel(), shared.get_potential_energy(atoms))


def by_predict(model: DeployedModel) -> Callable[[Atoms], np.ndarray]:
    """The same by ``predict``."""

    def run(atoms: Atoms) -> np.ndarray:
        (result,) = predict(model, [atoms])
        return np.append(result.get_forces().ravel(), result.get_potential_energy())

    return run


def main(archive: str, engine: str) -> None:
    serial = DeployedModel(archive, engine=engine)
    frames = [structure(serial, number) for number in range(N_STRUCTURES)]
    expected = [by_calculator(serial)(atoms) for atoms in frames]
    for way in (by_calculator, by_one_calculator, by_predict):
        run = way(DeployedModel(archive, engine=engine))
        with ThreadPoolExecutor(N_THREADS) as pool:
            found = list(pool.map(run, frames))
        for number, (a, b) in enumerate(zip(found, expected, strict=True)):
            # the tables of an element are the same, whichever others there are
            assert np.allclose(a, b, rtol=0, atol=1e-9 * max(1, abs(b).max())), f"{way.__name__}: structure {number}"
    print("same")


if __name__ == "__main__":
    sys.setswitchinterval(1e-5)
    main(*sys.argv[1:])
