"""From files of structures to the graphs that a model reads.

Names are imported when first used: a model that only evaluates graphs needs neither ASE nor a neighbor list.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdn.data.build import graph_from_atoms, graph_from_structure
    from tdn.data.graph import Graph, collate
    from tdn.data.neighbors import neighbor_list
    from tdn.data.source import Source, open_source
    from tdn.data.structure import Structure

__all__ = [
    "Graph",
    "Source",
    "Structure",
    "collate",
    "graph_from_atoms",
    "graph_from_structure",
    "neighbor_list",
    "open_source",
]

_MODULES = {
    "build": ("graph_from_atoms", "graph_from_structure"),
    "graph": ("Graph", "collate"),
    "neighbors": ("neighbor_list",),
    "source": ("Source", "open_source"),
    "structure": ("Structure",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"tdn.data.{module}"), name)
    raise AttributeError(f"module 'tdn.data' has no attribute '{name}'")
