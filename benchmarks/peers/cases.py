"""What is run: every model of every package in every mode that its documentation offers on a CPU, and some more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    """A model of a package, at the channels, cutoff and l_max that all share."""

    name: str
    environment: str
    adapter: str
    layers: int
    modes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def arguments(self) -> str:
        """Options of the adapter as JSON."""
        return json.dumps({"layers": self.layers, **self.options})


@dataclass(frozen=True)
class Case:
    """A model in one mode."""

    model: Model
    mode: str

    @property
    def label(self) -> str:
        """One line that names it."""
        return f"{self.model.name}, {self.model.layers} layers, {self.mode}"


#: torch.compile around the whole model, of which its documentation says nothing.
UNDOCUMENTED = "plain torch.compile"
MACE = ("eager", "torchscript", "compile")
NEQUIP = ("eager", "aotinductor")
SEVENN = ("eager", "torchscript", UNDOCUMENTED)
TENSORNET = ("eager", "torchscript", "compile")

MODELS = (
    Model("TDN", "tdn", "peer_tdn.py", 4, ("archive",)),
    Model("TDN", "tdn", "peer_tdn.py", 2, ("archive",)),
    Model("MACE, max_ell 1", "mace", "peer_mace.py", 2, MACE, {"max_ell": 1}),
    Model("MACE, max_ell 1", "mace", "peer_mace.py", 4, MACE, {"max_ell": 1}),
    Model("MACE, max_ell 3", "mace", "peer_mace.py", 2, MACE, {"max_ell": 3}),
    Model("MACE, max_ell 3", "mace", "peer_mace.py", 4, MACE, {"max_ell": 3}),
    Model("NequIP, one parity", "nequip", "peer_nequip.py", 4, (*NEQUIP, "torchscript"), {"parity": False}),
    Model("NequIP, both parities", "nequip", "peer_nequip.py", 4, NEQUIP, {"parity": True}),
    Model("Allegro", "nequip", "peer_allegro.py", 2, (*NEQUIP, "torchscript")),
    Model("Allegro", "nequip", "peer_allegro.py", 4, NEQUIP),
    Model("SevenNet, one parity", "sevenn", "peer_sevenn.py", 4, SEVENN, {"parity": False}),
    Model("SevenNet, both parities", "sevenn", "peer_sevenn.py", 4, SEVENN, {"parity": True}),
    Model(
        "TorchMD-Net ET",
        "torchmdnet",
        "peer_torchmdnet.py",
        4,
        (*TENSORNET, UNDOCUMENTED),
        {"model": "equivariant-transformer"},
    ),
    Model("TensorNet", "torchmdnet", "peer_torchmdnet.py", 2, TENSORNET, {"model": "tensornet"}),
    Model("TensorNet", "torchmdnet", "peer_torchmdnet.py", 4, TENSORNET, {"model": "tensornet"}),
)
CASES = tuple(Case(model, mode) for model in MODELS for mode in model.modes)
