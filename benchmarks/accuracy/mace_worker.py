"""Tests a trained MACE model on test.xyz and times it; runs in the environment of mace-torch, see peer_mace.py.

Arguments: model file, copies of the first structure in the batch that is timed. Prints one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import ase.io
import numpy as np
import torch
from mace import data
from mace.tools import torch_geometric
from mace.tools.utils import AtomicNumberTable

BATCH = 10
REPEATS = 7


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    # a pickled module, as MACE writes it; peer_mace.py has just had it made
    model = torch.load(sys.argv[1], map_location="cpu", weights_only=False).float().eval()
    structures = ase.io.read("test.xyz", ":")
    energies, forces = [], []
    for first in range(0, len(structures), BATCH):
        part = structures[first : first + BATCH]
        out = model(batch_of(model, part), training=False)
        bound = out["interaction_energy"].detach().double().tolist()
        energies += [e + free_energy(model, s) - s.info["REF_energy"] for e, s in zip(bound, part, strict=True)]
        forces.append(out["forces"].detach().numpy() - np.concatenate([s.arrays["REF_forces"] for s in part]))
    copies = int(sys.argv[2])
    batch = batch_of(model, [structures[0]] * copies)
    seconds = statistics.median(timed(model, batch) for _ in range(REPEATS))
    result = {
        "300 K": {"energy_total_rmse": rmse(np.array(energies)), "force_rmse": rmse(np.concatenate(forces))},
        "weights": sum(p.numel() for p in model.parameters()),
        "us_per_atom": 1e6 * seconds / (copies * len(structures[0])),
    }
    print(json.dumps(result))


def batch_of(model: torch.nn.Module, structures: list[Any]) -> dict[str, Any]:
    """Graphs as MACE's calculator makes them."""
    table = AtomicNumberTable([int(z) for z in model.atomic_numbers])
    graphs = [
        data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=float(model.r_max))
        for atoms in structures
    ]
    return next(iter(torch_geometric.dataloader.DataLoader(graphs, len(graphs)))).to_dict()


def free_energy(model: torch.nn.Module, atoms: Any) -> float:
    """Energy of the isolated atoms, added in float64: the total in float32 has a resolution of 1 meV here."""
    numbers, energies = model.atomic_numbers.tolist(), model.atomic_energies_fn.atomic_energies.double().flatten()
    return sum(float(energies[numbers.index(int(z))]) for z in atoms.numbers)


def timed(model: torch.nn.Module, batch: dict[str, Any]) -> float:
    """Seconds of energy and forces."""
    start = time.perf_counter()
    model(batch, training=False)
    return time.perf_counter() - start


def rmse(errors: np.ndarray) -> float:
    """In thousandths."""
    return 1e3 * float(np.sqrt(np.mean(errors**2)))


if __name__ == "__main__":
    main()
