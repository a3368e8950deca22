"""From structure files to the graphs that the model reads."""

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
