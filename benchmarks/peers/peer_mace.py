"""mace-torch: MACE with the defaults of mace_run_train but for the irreps; options layers, max_ell.

Modes: ``eager``; ``torchscript``, the model that mace_create_lammps_model writes; ``compile``, as MACECalculator does
with its compile_mode. Its other accelerators (cuEquivariance, OpenEquivariance) are for GPUs.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # constants of e3nn are pickled

import numpy as np
import torch
from adapter import CHANNELS, CUTOFF, L_MAX, NEIGHBORS, REFERENCES, SEED, Built, Request, Step, run
from e3nn import o3
from e3nn.util import jit
from mace import data as mace_data
from mace import modules
from mace.calculators import LAMMPS_MACE
from mace.tools import torch_geometric
from mace.tools.compile import prepare
from mace.tools.scripts_utils import extract_model
from mace.tools.utils import AtomicNumberTable

NUMBERS = [1, 8]
PARITY = "eo"


def make_model(layers: int, max_ell: int) -> torch.nn.Module:
    """Random weights; the last layer has scalars only, as is MACE's own choice."""
    torch.manual_seed(SEED)
    blocks = modules.interaction_classes
    return modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=max_ell,
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        num_interactions=layers,
        num_elements=len(NUMBERS),
        hidden_irreps=o3.Irreps(" + ".join(f"{CHANNELS}x{d}{PARITY[d % 2]}" for d in range(L_MAX + 1))),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.array(list(REFERENCES.values())),
        avg_num_neighbors=NEIGHBORS,
        atomic_numbers=NUMBERS,
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    ).requires_grad_(False)


def make_batch(request: Request) -> dict[str, Any]:
    """The graph as MACE's calculator makes it."""
    config = mace_data.config_from_atoms(request.atoms)
    graph = mace_data.AtomicData.from_config(config, z_table=AtomicNumberTable(NUMBERS), cutoff=CUTOFF)
    return torch_geometric.Batch.from_data_list([graph]).to_dict()


def eager(model: torch.nn.Module, batch: dict[str, Any]) -> Step:
    def step() -> tuple[torch.Tensor, torch.Tensor]:
        out = model(batch)
        return out["energy"].detach(), out["forces"]

    return step


def torchscript(model: torch.nn.Module, batch: dict[str, Any]) -> Step:
    scripted = jit.compile(LAMMPS_MACE(model))
    tensors = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
    every_atom = torch.ones(len(batch["positions"]))

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        out = scripted(tensors, every_atom, compute_virials=False)
        return out["total_energy_local"].detach(), out["forces"]

    return step


def compiled(model: torch.nn.Module, batch: dict[str, Any]) -> Step:
    fast = torch.compile(prepare(extract_model)(model=model, map_location="cpu"), mode="default", fullgraph=True)
    for parameter in fast.parameters():
        parameter.requires_grad_(False)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        leaves = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
        leaves["node_attrs"].requires_grad_(True)
        leaves["positions"].requires_grad_(True)
        out = fast(leaves, training=True)  # as the calculator calls it
        return out["energy"].detach(), out["forces"].detach()

    return step


def build(request: Request) -> Built:
    model, batch = make_model(**request.options), make_batch(request)
    n_edges = batch["edge_index"].size(1)
    if request.mode == "eager":
        step = eager(model, batch)
        return Built(step, n_edges, counted=step)
    if request.mode == "torchscript":
        return Built(torchscript(model, batch), n_edges)
    if request.mode == "compile":
        return Built(compiled(model, batch), n_edges)
    raise request.no_such_mode()


if __name__ == "__main__":
    run("mace-torch", build)
