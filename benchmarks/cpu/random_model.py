"""Models with random weights: what a step costs does not depend on what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tdn.architectures import default_dtype
from tdn.deployment import write_archive
from tdn.model import TDN, ModelConfig

ELEMENTS = ("O", "H")
#: The model of the benchmarks unless they say otherwise.
SIZE = {"cutoff": 4.5, "n_channels": 128, "n_layers": 4, "l_max": 1, "n_heads": 4}


def size_text(**changes: int) -> str:
    """The sizes in words."""
    size = SIZE | changes
    return (
        f"C = {size['n_channels']}, l_max {size['l_max']}, {size['n_layers']} layers, {size['n_heads']} heads, "
        f"{size['cutoff']} angstrom"
    )


def perturbed(model: TDN) -> TDN:
    """The same model after random numbers were added to what starts at zero or one and so would test nothing."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "norm.weight", "softmax.constant")):
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def random_md(**changes: Any) -> TDN:
    """A model of the md setting, seeded, float64; ``changes`` replaces sizes."""
    torch.manual_seed(0)
    with default_dtype("float64"):
        return perturbed(TDN(ModelConfig(ELEMENTS, **(SIZE | changes))).eval())


def random_archive(folder: Path, **changes: Any) -> Path:
    """This model deployed in float32, by the way of ``tdn deploy`` with all its checks."""
    size = SIZE | changes
    path = folder / f"random-C{size['n_channels']}-l{size['l_max']}-n{size['n_layers']}.tdn.pt"
    write_archive(random_md(**changes), path, torch.float32)
    return path
