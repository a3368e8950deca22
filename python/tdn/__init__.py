"""TDN: equivariant machine-learned interatomic potentials for LAMMPS, ASE and plain PyTorch.

``import tdn`` does not import torch: LAMMPS's ``lmp`` command imports this package at every start to find the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tdn.errors import TDNError

if TYPE_CHECKING:
    from tdn.ase import TDNCalculator
    from tdn.doors import deploy, evaluate, train
    from tdn.loading import load

__all__ = ["TDNCalculator", "TDNError", "__version__", "deploy", "evaluate", "load", "train"]

__version__ = "0.1.0"

#: Module of each name; it is imported when the name is first used.
_HOMES = {
    "TDNCalculator": "tdn.ase",
    "deploy": "tdn.doors",
    "evaluate": "tdn.doors",
    "load": "tdn.loading",
    "train": "tdn.doors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tdn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
