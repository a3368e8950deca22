"""Operations and bytes of each stage of a fused evaluation, counted from the shapes of the model.

A multiply-add is two operations, a sigmoid 31. Bytes are those that a stage moves to or from arrays outside its block
of edges or chunk of atoms (rows of neighbors, tables, gradients), counted at every use: the traffic of the caches, of
which memory sees a part.
"""

from __future__ import annotations

from dataclasses import dataclass

from tdn.algebra.clebsch_gordan import admissible_paths, coupling_tensor
from tdn.config.model import ModelConfig
from tdn.model.radial import n_path_weights

#: Operations of a sigmoid.
SIGMOID = 31


@dataclass(frozen=True)
class Count:
    """Operations and bytes of one stage in one evaluation."""

    operations: float
    bytes: float = 0.0

    def floor(self, peak: float, bandwidth: float) -> float:
        """Lower bound on the time in seconds, set by the processor (operations/s) or the memory (bytes/s)."""
        return max(self.operations / peak, self.bytes / bandwidth)


def count_stages(config: ModelConfig, n_atoms: int, n_edges: int, size: int) -> dict[str, Count]:
    """Count of each stage, named as in the evaluator's ``times``, energy and gradient; ``size`` bytes per number."""
    edges, nodes = _edge_stages(config), _node_rows(config)
    result = {}
    for name, (operations, numbers) in edges.items():
        result[name] = Count(operations * n_edges, numbers * n_edges * size)
    row = config.n_components * config.n_channels * size
    for direction, rows in nodes.items():
        work = 2.0 * rows * config.n_channels**2 * n_atoms
        result[f"{direction} nodes"] = Count(work, 4.0 * config.n_layers * row * n_atoms)
    return result


def _edge_stages(config: ModelConfig) -> dict[str, tuple[float, float]]:
    """Operations and numbers moved, for one edge and all layers; the last layer's sums have one component."""
    d, channels, layers = config.n_components, config.n_channels, config.n_layers
    terms = int((coupling_tensor(config.l_max, config.paths) != 0).sum())
    products = 2.0 * layers * (d + 2) * channels**2
    entries, scalar_entries, weighted = _product(config)
    sums = (layers - 1) * entries + scalar_entries  # the last layer's sums have one component
    table, apply = 12.0 * n_path_weights(config) * channels, 2.0 * entries * channels
    coefficients = 6.0 * n_path_weights(config)
    return {
        "forward geometry": ((2.0 * terms + 200) * layers, 8.0 * layers),
        "forward messages": (
            layers * (table + apply + (d + weighted) * channels),
            layers * (coefficients + d) * channels,
        ),
        "forward products": (products, 0.0),
        "forward attention": (
            layers * (3 * SIGMOID + d + 6.0) * channels + 2.0 * sums * channels,
            float(layers * config.n_heads),
        ),
        "backward geometry": ((6.0 * terms + 300) * layers, 14.0 * layers),
        "backward messages": (
            layers * (2 * table + 3 * apply + 6.0 * d * channels),
            layers * (2 * coefficients + 3.0 * d) * channels,
        ),
        "backward products": (2 * products, 0.0),
        "backward attention": (
            layers * (3 * SIGMOID + 5.0 * d + 20.0) * channels + 4.0 * sums * channels,
            float(layers * config.n_heads),
        ),
    }


def _product(config: ModelConfig) -> tuple[int, int, float]:
    """For a product K v: entries of K, entries in its scalar row, operations that apply the radial weights."""
    d = config.n_components
    if config.path_weights == "shared":
        return d * d, d, float(d)
    paths = admissible_paths(config.l_max, config.paths)
    entries = sum((2 * first + 1) * (2 * product + 1) for first, _, product in paths)
    scalar = sum(2 * first + 1 for first, _, product in paths if product == 0)
    return entries, scalar, 2.0 * sum(2 * product + 1 for _, _, product in paths)


def _node_rows(config: ModelConfig) -> dict[str, float]:
    """Rows that are multiplied by a channels x channels matrix, for one atom and all layers.

    Forward: send, center, out, the two maps of the feed-forward part and its gate. Backward: their adjoints, and all
    maps but the last once more. Finally the embedding's map and the head.
    """
    d, layers = config.n_components, config.n_layers
    outputs = (layers - 1) * d + 1
    forward = 2.0 * d * layers + 3.0 * outputs + layers
    again = d * (layers - 1) + d * layers + 2.0 * outputs + layers
    return {"forward": forward + d + 1, "backward": forward + again + d + 1}
