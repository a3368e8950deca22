"""Small models with random weights for tests, float64 unless asked otherwise."""

from __future__ import annotations

from typing import Any

import torch
from ase import Atoms

from tdn.architectures import default_dtype
from tdn.data import graph_from_atoms
from tdn.data.graph import Graph
from tdn.model import TDN, ModelConfig


def random_model(elements: tuple[str, ...], seed: int = 0, dtype: str = "float64", **options: Any) -> TDN:
    """md model with seeded weights of realistic size (the energy head is not started small as in training)."""
    settings = {"n_channels": 16, "n_layers": 2, "cutoff": 4.5, "radial_hidden": (16, 16)} | options
    if settings.get("setting") == "paper":
        settings = {"attention": "softmax"} | settings
    torch.manual_seed(seed)
    with default_dtype(dtype):
        model = TDN(ModelConfig(elements=elements, **settings))
    with torch.no_grad():
        model.network.head_out.weight.mul_(10.0)
    return model.eval()


def graph_of(model: TDN, atoms: Atoms) -> Graph:
    """Graph in the model's precision."""
    return graph_from_atoms(atoms, model.elements, model.cutoff).to(dtype=model.dtype)


def energy_of(model: TDN, atoms: Atoms) -> float:
    """Total energy, eV."""
    return model(graph_of(model, atoms)).energy.item()


def elements_of(atoms: Atoms) -> tuple[str, ...]:
    """Elements of a structure in alphabetical order."""
    return tuple(sorted(set(atoms.get_chemical_symbols())))
