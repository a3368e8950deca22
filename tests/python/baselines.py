"""Small SchNet and PaiNN models for tests, and PaiNN once more with plain numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tdn.architectures import build_model
from tdn.config.architectures import stored_config
from tdn.model.potential import Potential

SMALL: dict[str, dict[str, Any]] = {
    "schnet": {"n_channels": 16, "n_filters": 12, "n_layers": 2, "n_radial": 10},
    "painn": {"n_channels": 16, "n_layers": 2, "n_radial": 8},
}


def need(architecture: str) -> str:
    """The name itself; skips the test when its library is missing."""
    if architecture == "schnet":
        pytest.importorskip("torch_geometric", reason="SchNet is torch_geometric's, which is not installed")
    return architecture


def random_baseline(architecture: str, elements: tuple[str, ...], **changes: Any) -> Potential:
    """Small model with seeded weights, float64."""
    torch.manual_seed(0)
    options = {"architecture": architecture, "elements": elements, "cutoff": 4.5, **SMALL[architecture], **changes}
    model = build_model(stored_config(options)).double().eval()
    with torch.no_grad():  # biases start at zero, which would hide a wrong use of them
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.1)
    return model


def painn_by_hand(
    atoms: Atoms, elements: tuple[str, ...], weights: dict[str, np.ndarray], cutoff: float, n_layers: int, n_radial: int
) -> np.ndarray:
    """Values of the atoms (n,) before references."""

    def mlp(name: str, x: np.ndarray) -> np.ndarray:
        hidden = weights[f"{name}.0.weight"] @ x + weights[f"{name}.0.bias"]
        return weights[f"{name}.2.weight"] @ (hidden / (1 + np.exp(-hidden))) + weights[f"{name}.2.bias"]

    def message(name: str, s_j: np.ndarray, v_j: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = np.linalg.norm(r)
        basis = [math.sqrt(2) * math.sin(n * math.pi * d / cutoff) / d for n in range(1, n_radial + 1)]
        w = weights[f"{name}.filters.weight"] @ basis + weights[f"{name}.filters.bias"]
        w = w * 0.5 * (math.cos(math.pi * d / cutoff) + 1)
        s, vv, vs = np.split(mlp(f"{name}.phi", s_j) * w, 3)
        return s, v_j * vv + np.outer(r / d, vs)

    def update(name: str, s: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u_v, v_v = (v @ part.T for part in np.split(weights[f"{name}.maps.weight"], 2))
        length = np.sqrt((v_v**2).sum(0) + 1e-8)
        ss, sv, vv = np.split(mlp(f"{name}.a", np.concatenate([s, length])), 3)
        return s + ss + sv * (u_v * v_v).sum(0), v + vv * u_v

    s = [weights["embedding"][elements.index(symbol)] for symbol in atoms.symbols]
    v = [np.zeros((3, len(s[0]))) for _ in s]
    vectors = atoms.positions[None] - atoms.positions[:, None]
    for layer in range(n_layers):
        new_s, new_v = list(s), list(v)
        for i, j in np.ndindex(len(s), len(s)):
            if i != j and np.linalg.norm(vectors[i, j]) < cutoff:
                ds, dv = message(f"messages.{layer}", s[j], v[j], vectors[i, j])
                new_s[i], new_v[i] = new_s[i] + ds, new_v[i] + dv
        both = [update(f"updates.{layer}", *pair) for pair in zip(new_s, new_v, strict=True)]
        s, v = [pair[0] for pair in both], [pair[1] for pair in both]
    return np.array([mlp("head", scalars)[0] for scalars in s])
