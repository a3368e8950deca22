"""nequip-allegro: option layers; scalar and tensor features and its networks as wide as the others' channels.

At l_max 1 in two layers it makes no difference whether both parities are kept.
"""

from __future__ import annotations

import torch
from adapter import CHANNELS, L_MAX, Built, Request, run
from allegro.model import AllegroModel
from nequip_models import build_with

#: Widths that Allegro's documentation calls reasonable to set to the number of scalar features.
WIDTHS = ("scalar_embed_mlp", "allegro_mlp", "readout_mlp")


def make_model(layers: int, **common) -> torch.nn.Module:
    return AllegroModel(
        num_layers=layers,
        l_max=L_MAX,
        parity=False,
        radial_chemical_embed={"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"},
        num_scalar_features=CHANNELS,
        num_tensor_features=CHANNELS,
        **{f"{name}_hidden_layers_width": CHANNELS for name in WIDTHS},
        **common,
    )


def build(request: Request) -> Built:
    return build_with(make_model, request, "nequip-allegro")


if __name__ == "__main__":
    run("nequip-allegro", build)
