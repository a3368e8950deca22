"""Checkpoints of the published TDN code (AIRS, OpenMol/TDN) as models of the ``paper`` setting.

The published code is not needed: its state is renamed tensor by tensor. The energy stays what that code
predicts: a per-atom energy, sum over atoms / sqrt(average number of atoms), which is not extensive. Unlike there,
neighbors are not limited to 100 per atom (molecules never reach that within 4.5 angstrom).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdn.elements import SYMBOLS
from tdn.errors import TDNError
from tdn.files import read_tensors
from tdn.model import TDN, ModelConfig

#: The published one-hot embedding has 80 columns, indexed by the atomic number; column 0 is not an element.
ELEMENTS = SYMBOLS[:79]

_RADIAL = {
    "net.0.weight": "first.weight",
    "net.0.bias": "first.bias",
    "net.1.weight": "first_norm.weight",
    "net.1.bias": "first_norm.bias",
    "net.3.weight": "second.weight",
    "net.3.bias": "second.bias",
    "net.4.weight": "second_norm.weight",
    "net.4.bias": "second_norm.bias",
    "net.6.weight": "last.weight",
    "offset": "last.bias",
}


def load_airs(
    path: str | Path,
    *,
    cutoff: float = 4.5,
    avg_num_nodes: float = 36.6,
    avg_degree: float = 18.6,
    forces: str = "direct",
) -> TDN:
    """Read a checkpoint of the published code.

    Args:
        path: ``*_checkpoint_*.pth`` (dictionary with model_state_dict) or ``*_best_model_*.pth`` (bare state dict).
            Averaged weights (ema_state_dict) are used if the file holds them.
        cutoff: angstrom; not in the file (published default 4.5).
        avg_num_nodes: constant under the square root of the energy readout (36.6 PubChemQCR-S, 30.0 full set).
        avg_degree: constant of the degree embedding (18.6 PubChemQCR-S, 16.7 full set).
        forces: ``direct`` (published default) or ``gradient`` (model trained with gradient_force: the direct head in
            the file is untrained and is left out).

    Returns:
        Model in the precision of the file; energies are per atom and not extensive, there is no cutoff envelope.

    Raises:
        TDNError: the file is not such a checkpoint, or its tensors do not fit together.
    """
    if forces not in ("direct", "gradient"):
        raise TDNError(f"forces is {forces!r}; use 'direct' or 'gradient', as the model was trained")
    state = read_state(path)
    config = config_of(state, path, cutoff, avg_num_nodes, avg_degree, forces)
    try:
        return TDN.from_state(config, rename(state, config))
    except KeyError as problem:
        raise TDNError(f"checkpoint '{path}' lacks tensor {problem}; give a checkpoint of the TDN model") from None
    except RuntimeError as problem:
        reason = str(problem).splitlines()[-1].strip()
        raise TDNError(f"checkpoint '{path}' does not fit the published model ({reason}); check the file") from None


def read_state(path: str | Path) -> dict[str, Tensor]:
    """State dict with plain names and, if present, EMA weights. Only tensors and plain types are unpickled."""
    content = read_tensors(path, "the .pth file of the published code")
    raw = content.get("model_state_dict", content)
    if not isinstance(raw, dict):
        raise TDNError(
            f"model_state_dict of '{path}' is a {type(raw).__name__}, not a dictionary; give a complete checkpoint"
        )
    state = {plain_name(str(name)): value for name, value in raw.items() if isinstance(value, Tensor)}
    averaged = content.get("ema_state_dict")
    return with_average(state, averaged, path) if averaged else state


def plain_name(name: str) -> str:
    """Name without the prefixes of DistributedDataParallel and torch.compile, in whichever order they were applied."""
    return name.replace("_orig_mod.", "").removeprefix("module.")


def is_factor(name: str) -> bool:
    """True for a CP factor, which the published code keeps constant (it is not among the averaged parameters)."""
    return name.rsplit(".", 1)[-1] in ("cp_a", "cp_b", "cp_c")


def with_average(state: dict[str, Tensor], averaged: Any, path: str | Path) -> dict[str, Tensor]:
    """Replace the trained parameters by their moving averages, which are in the order of the parameters."""
    names = [name for name in state if not is_factor(name)]
    found = averaged.get("shadow_params") if isinstance(averaged, dict) else None
    shadow = list(found) if isinstance(found, (list, tuple)) else []
    if [getattr(value, "shape", None) for value in shadow] != [state[name].shape for name in names]:
        raise TDNError(
            f"the {len(shadow)} averaged tensors (shadow_params in ema_state_dict) of '{path}' do not fit its "
            f"{len(names)} parameters; remove ema_state_dict from the file to import the raw weights"
        )
    return state | dict(zip(names, shadow, strict=True))


def config_of(
    state: Mapping[str, Tensor],
    path: str | Path,
    cutoff: float,
    avg_num_nodes: float,
    avg_degree: float,
    forces: str,
) -> ModelConfig:
    """Settings that follow from the shapes of the tensors, and the rest as given."""
    try:
        n_channels = state["norm.affine_weight"].shape[2]
        hidden = state["edge_embed.rad.net.0.weight"].shape[0], state["edge_embed.rad.net.3.weight"].shape[0]
        return ModelConfig.paper(
            ELEMENTS,
            cutoff=float(cutoff),
            l_max=state["norm.affine_weight"].shape[0] - 1,
            n_channels=n_channels,
            n_layers=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
            n_heads=state["blocks.0.attn.alpha_dot"].shape[0],
            n_radial=state["rbf.mean"].shape[1],
            radial_hidden=hidden,
            cp_rank=state["edge_embed.tp.cp_tp.cp_a"].shape[1],
            avg_degree=float(avg_degree),
            avg_n_atoms=float(avg_num_nodes),
            direct_forces=forces == "direct",
            forces=forces,
        )
    except (KeyError, IndexError, ValueError) as problem:
        raise TDNError(
            f"'{path}' does not hold the tensors of the published TDN model (first missing: {problem}); "
            "give a checkpoint made by its training code"
        ) from None


def rename(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """State of :class:`tdn.model.TDN` from the published one.

    Raises:
        KeyError: a tensor is missing.
        TDNError: CP factors differ between the products; the published code has one fit for all.
    """
    result = {
        "embedding.elements": state["atom_embed.atom_type_lin.weight"].t()[1:] + state["atom_embed.atom_type_lin.bias"],
        "embedding.sources": state["edge_embed.exp.linear.weight"].sum(1) + state["edge_embed.exp.bias"],
        **_linear(_whole(state, "edge_embed.proj"), "embedding.project"),
        "geometry.basis.mean": state["rbf.mean"][0],
        "geometry.basis.width": state["rbf.std"][0],
        "geometry.basis.weight": state["rbf.weight"][0],
        "geometry.basis.bias": state["rbf.bias"][0],
        **_linear(_whole(state, "head.0"), "head_hidden"),
        **_linear(_whole(state, "head.2"), "head_out"),
        **_coupling(state),
        **_radial(state, "edge_embed.rad", "embedding.radial"),
        **_norm(state, "norm", "norm"),
    }
    for k in range(config.n_layers):
        result |= _norm(state, f"blocks.{k}.norm1", f"layers.{k}.attention_norm")
        result |= _norm(state, f"blocks.{k}.norm2", f"layers.{k}.feed_forward_norm")
        result |= _attention(state, f"blocks.{k}.attn", f"layers.{k}.attention")
        result |= _feed_forward(state, f"blocks.{k}.ffn", f"layers.{k}.feed_forward")
    if config.direct_forces:
        result |= _norm(state, "norm", "force_head.norm")
        result |= _attention(state, "force_head", "force_head.attention")
        result["force_head.project.weight"] = state["force_proj.linear.weight"]
    return {f"network.{name}": value.clone() for name, value in result.items()} | _references(config)


def _references(config: ModelConfig) -> dict[str, Tensor]:
    zeros = torch.zeros(config.n_elements, dtype=torch.float64)
    scale = torch.tensor(config.avg_n_atoms**-0.5, dtype=torch.float64)
    values = {"energies": zeros, "isolated": zeros.clone(), "scale": scale}
    return {f"network.references.{name}": value for name, value in values.items()}


def _coupling(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result = {}
    for letter, name in (("a", "first"), ("b", "second"), ("c", "output")):
        copies = [value for key, value in state.items() if key.endswith(f".cp_{letter}")]
        if any(not torch.equal(copies[0], other) for other in copies[1:]):
            raise TDNError(f"the CP factors cp_{letter} differ between layers; only one fit for all can be imported")
        result[f"geometry.coupling.{name}"] = copies[0]
    return result


def _radial(state: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    return {f"{target}.{new}": state[f"{source}.{old}"] for old, new in _RADIAL.items()}


def _norm(state: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    weight, bias = state[f"{source}.affine_weight"], state[f"{source}.affine_bias"]
    return {f"{target}.weight": weight[:, 0], f"{target}.bias": bias[0, 0]}


def _attention(state: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    values, gates = _halves(state, f"{source}.lin_value")
    return {
        f"{target}.query": state[f"{source}.alpha_dot"],
        f"{target}.merge_neighbor.weight": state[f"{source}.merge_src.linear.weight"],
        f"{target}.merge_neighbor.bias": state[f"{source}.merge_src.bias"][0],
        f"{target}.merge_center.weight": state[f"{source}.merge_dst.linear.weight"],
        f"{target}.logits.weight": state[f"{source}.lin_alpha.linear.weight"],
        f"{target}.logits.bias": state[f"{source}.lin_alpha.bias"][0],
        f"{target}.values.weight": values["weight"],
        f"{target}.values_bias": values["bias"],
        **_linear(gates, f"{target}.gates"),
        **_linear(_whole(state, f"{source}.proj"), f"{target}.out"),
        **_radial(state, f"{source}.rad", f"{target}.radial"),
    }


def _feed_forward(state: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    values, gates = _halves(state, f"{source}.0")
    return {
        **_linear(values, f"{target}.values"),
        **_linear(gates, f"{target}.gates"),
        **_linear(_whole(state, f"{source}.2"), f"{target}.out"),
    }


def _whole(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Weight (C_out, C_in) and bias (C_out) of a published linear layer."""
    return {"weight": state[f"{source}.linear.weight"], "bias": state[f"{source}.bias"][0]}


def _halves(state: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A published C -> 2 C layer in front of a gate: first its values, then its gates."""
    layer = _whole(state, source)
    values, gates = ({name: tensor.chunk(2)[k] for name, tensor in layer.items()} for k in (0, 1))
    return values, gates


def _linear(layer: Mapping[str, Tensor], target: str) -> dict[str, Tensor]:
    return {f"{target}.{name}": tensor for name, tensor in layer.items()}


def summary(path: str | Path, model: TDN) -> dict[str, Any]:
    """What a checkpoint of ``tdn import-airs`` has in place of a training summary."""
    return {
        "source": f"imported from {Path(path).name} of the published TDN code (AIRS, OpenMol/TDN)",
        "dtype": str(model.dtype).removeprefix("torch."),
        "min_distance": 0.0,
    }
