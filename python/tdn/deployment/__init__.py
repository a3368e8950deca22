"""From a trained model to the archive that LAMMPS runs. Names are imported when first used: reading needs no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdn.deployment.archive import read_label
    from tdn.deployment.deployed import DeployedModel
    from tdn.deployment.write import write_archive

__all__ = ["DeployedModel", "read_label", "write_archive"]

_MODULES = {"DeployedModel": "deployed", "read_label": "archive", "write_archive": "write"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"tdn.deployment.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'tdn.deployment' has no attribute '{name}'")
