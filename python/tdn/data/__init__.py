"""From structure files to the graphs that the model reads.

Names are imported when first used: a model that only evaluates graphs needs neither ASE nor a neighbor list.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdn.data.build import graph_from_atoms
    from tdn.data.dataset import LabeledSet, read_labeled
    from tdn.data.graph import Graph, collate
    from tdn.data.neighbors import neighbor_list
    from tdn.data.references import energy_scale, reference_energies

__all__ = [
    "Graph",
    "LabeledSet",
    "collate",
    "energy_scale",
    "graph_from_atoms",
    "neighbor_list",
    "read_labeled",
    "reference_energies",
]

_MODULES = {
    "build": ("graph_from_atoms",),
    "dataset": ("LabeledSet", "read_labeled"),
    "graph": ("Graph", "collate"),
    "neighbors": ("neighbor_list",),
    "references": ("energy_scale", "reference_energies"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"tdn.data.{module}"), name)
    raise AttributeError(f"module 'tdn.data' has no attribute '{name}'")
