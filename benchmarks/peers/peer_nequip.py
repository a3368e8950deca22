"""nequip: options layers, parity (True, the default, doubles the features: both parities of each degree)."""

from __future__ import annotations

import torch
from adapter import CHANNELS, L_MAX, Built, Request, run
from nequip.model import NequIPGNNModel
from nequip_models import build_with


def make_model(layers: int, parity: bool, **common) -> torch.nn.Module:
    return NequIPGNNModel(num_layers=layers, l_max=L_MAX, parity=parity, num_features=CHANNELS, **common)


def build(request: Request) -> Built:
    return build_with(make_model, request, "nequip")


if __name__ == "__main__":
    run("nequip", build)
