"""The weights record of an archive: the weights of the fused engine and its radial networks (names in tdn.schema)."""

from __future__ import annotations

import copy
import re

import numpy as np
import torch
from torch import Tensor

from tdn.deployment.network import PAIR_TERM_KNOTS, DeployedNetwork
from tdn.deployment.safetensors import Arrays

#: Prefix of the weights of a radial network in a state of DeployedNetwork.
NETWORK = re.compile(r"(embedding|layers\.\d+|force_head)\.(?:attention\.attention\.)?radial\.network\.(.+)")
BASIS = "geometry.basis.basis."
#: torch's default, which the model's networks have.
LAYER_NORM_EPS = 1e-5


def archive_weights(network: DeployedNetwork) -> Arrays:
    """Contents of the record, from a network in any precision."""
    network = copy.deepcopy(network).to(torch.float64)
    weights = {**network.node_weights(), **network.block_weights(), **network.numbers()}
    per_pair = bool(network.smooth and network.embedding.radial.network.pair_embedding.per_pair)
    weights |= radial_weights(network.state_dict(), per_pair)
    if (term := network.pair_term) is not None:
        weights |= {f"pair_term.{term.name}.{name}": value for name, value in term.constants().items()}
        weights["pair_term.n_knots"] = torch.tensor(PAIR_TERM_KNOTS, dtype=torch.float64)
    weights["radial.silu_scale"] = torch.tensor(network.embedding.radial.network.silu_scale, dtype=torch.float64)
    weights["radial.n_knots"] = torch.tensor(network.n_knots, dtype=torch.float64)
    return as_arrays(weights)


def as_arrays(weights: dict[str, Tensor]) -> Arrays:
    """Tensors as float64 numpy arrays."""
    return {name: np.asarray(weight.detach().to(torch.float64).cpu().numpy()) for name, weight in weights.items()}


def radial_weights(state: dict[str, Tensor], per_pair: bool) -> dict[str, Tensor]:
    """Radial networks, basis and source vectors from the state of a (scripted) network.

    Args:
        state: state of the network.
        per_pair: whether the pair embedding is a table of pairs, not a table of centers above one of neighbors.
    """
    weights = {"embedding.sources": state["embedding.sources"]}
    weights["radial.norm_eps"] = torch.tensor(LAYER_NORM_EPS, dtype=torch.float64)
    for name in ("mean", "width", "weight", "bias"):  # Gaussians; the Bessel basis has no weights
        if BASIS + name in state:
            weights["basis." + name] = state[BASIS + name]
    for name, weight in state.items():
        if not (found := NETWORK.fullmatch(name)):
            continue
        block = found[1] + ".radial."
        if found[2] != "pair_embedding.table":
            weights[block + found[2]] = weight
        elif per_pair:
            weights[block + "pair"] = weight
        else:
            weights[block + "center"], weights[block + "neighbor"] = weight.chunk(2)
    return weights
