"""tdn itself, like the others: option layers; mode ``archive``, a deployed archive called from Python.

Arithmetic is that of the eager model; an engine that recomputes its forward pass in the backward one does more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from adapter import CHANNELS, CUTOFF, L_MAX, NEIGHBORS, REFERENCES, SEED, Built, Request, run

from tdn import _core
from tdn.data import graph_from_atoms
from tdn.deployment import write_archive
from tdn.model import TDN, ModelConfig
from tdn.ops import load_library


def make_model(layers: int) -> TDN:
    """Random weights, md setting with its defaults."""
    torch.manual_seed(SEED)
    size = {"n_channels": CHANNELS, "l_max": L_MAX, "n_layers": layers, "cutoff": CUTOFF, "avg_degree": NEIGHBORS}
    model = TDN(ModelConfig(elements=tuple(REFERENCES), **size)).double()
    model.set_references(tuple(REFERENCES.values()), 1.0)
    return model.eval()


def open_archive(model: TDN) -> _core.Evaluator:
    """The model in float32, deployed and loaded."""
    load_library()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.tdn.pt"
        write_archive(model, path, dtype=torch.float32)
        return _core.Evaluator(str(path))


def build(request: Request) -> Built:
    model = make_model(**request.options)
    evaluator = open_archive(model)
    graph = graph_from_atoms(request.atoms, model.elements, CUTOFF).to(dtype=torch.float32)
    edges = [tensor.numpy() for tensor in (graph.species, graph.center, graph.neighbor, graph.vectors)]

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        energies, gradient = map(torch.from_numpy, evaluator.evaluate(*edges, n_threads=1)[:2])
        forces = gradient.new_zeros(len(graph.species), 3).index_add_(0, graph.center, gradient)
        return energies, forces.index_add_(0, graph.neighbor, gradient, alpha=-1)

    eager = model.in_dtype(torch.float32).requires_grad_(False)
    if request.mode == "archive":
        return Built(step, len(graph.center), counted=lambda: eager(graph), engine=evaluator.engine)
    raise request.no_such_mode()


if __name__ == "__main__":
    run("tdn", build)
