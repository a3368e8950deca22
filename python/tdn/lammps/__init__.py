"""LAMMPS from Python: the location of its plugin, and ``Simulation``, which drives it over MPI communicators.

``lmp`` imports this package at every start, so nothing here imports torch, LAMMPS, MPI, numpy or ASE before
``Simulation`` is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tdn.lammps.plugin import PLUGIN_FILE, package_dir, plugin_dir, plugin_search_path

if TYPE_CHECKING:
    from tdn.lammps.result import Result
    from tdn.lammps.simulation import Simulation

__all__ = ["PLUGIN_FILE", "Result", "Simulation", "package_dir", "plugin_dir", "plugin_search_path"]

_MODULES = {"Result": "result", "Simulation": "simulation"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"tdn.lammps.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'tdn.lammps' has no attribute '{name}'")
