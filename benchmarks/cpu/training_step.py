"""A fresh process that trains one code on one list of batches: seconds and memory of a step as JSON.

Started by training_speed.py:  training_step.py CODE SETTINGS (JSON)
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from ase import Atoms
from ase.build import molecule
from published_model import PublishedOrder
from report import forget_peak, peak_memory
from torch import Tensor

from tdn.config.presets import PAPER_TRAINING
from tdn.config.training import TrainingConfig
from tdn.data import Graph, collate, graph_from_atoms
from tdn.malloc import keep_freed_pages
from tdn.model import TDN, ModelConfig
from tdn.training.loss import weights_of
from tdn.training.module import TrainingModule

ELEMENTS = ("H", "C", "N", "O")
#: Molecules of the set G2 that are put side by side to make one of 34 or 38 atoms.
PARTS = (("C6H6", "CH3CONH2", "CH3CH2OH", "NH3"), ("C6H6", "CH3CONH2", "isobutane", "HCN"))


def molecule_of_36(seed: int) -> Atoms:
    """34 and 38 atoms in turn, in one piece within the cutoff."""
    parts = [molecule(name) for name in PARTS[seed % 2]]
    atoms = Atoms()
    for number, part in enumerate(parts):
        part.translate([3.5 * (number % 2), 3.5 * (number // 2), 0.0] - part.get_center_of_mass())
        atoms += part
    atoms.rattle(0.05, seed=seed)
    return atoms


def batches(settings: dict[str, Any]) -> list[Graph]:
    """Batches with made-up labels; positions do not matter for the time, edges do."""
    generator = torch.Generator().manual_seed(0)
    result = []
    for first in range(settings["n_batches"]):
        frames = [molecule_of_36(first * settings["batch_size"] + k) for k in range(settings["batch_size"])]
        graph = collate([graph_from_atoms(atoms, ELEMENTS, settings["cutoff"]) for atoms in frames])
        n, none = graph.n_graphs, torch.zeros(graph.n_graphs, dtype=torch.bool)
        forces = torch.randn(len(graph.species), 3, generator=generator)
        labels = {"energy": torch.randn(n, generator=generator), "forces": forces, "has_stress": none}
        graph = replace(graph, stress=torch.zeros(n, 3, 3), **labels)
        result.append(graph.to(settings["device"], torch.float32))
    return result


def build(settings: dict[str, Any], setting: str, forces: str) -> TDN:
    """Model with random weights."""
    torch.manual_seed(0)
    sizes = {name: settings[name] for name in ("cutoff", "n_channels", "n_layers", "l_max")}
    if setting == "md":
        return TDN(ModelConfig(ELEMENTS, **sizes))
    head = {"direct_forces": forces == "direct", "forces": forces}
    return TDN(ModelConfig.paper(ELEMENTS, n_radial=settings["n_radial"], cp_rank=7, **sizes, **head))


def published_loss(energy: Tensor, forces: Tensor, graph: Graph) -> Tensor:
    """L1 of the energy per atom, and of each molecule the root of the mean squared error vector."""
    sizes = graph.sizes
    squares = torch.zeros_like(energy).index_add(0, graph.batch, (forces - graph.forces).square().sum(1))
    return (energy - graph.energy / sizes).abs().mean() + (squares / sizes).sqrt().mean()


def published_step(model: TDN, forces: str) -> tuple[Callable[[Graph], Tensor], list[Tensor]]:
    """Loss in the published order of operations, and its weights."""
    order = PublishedOrder(model, "trained").to(next(model.parameters()).device).train()
    predict = order.with_direct if forces == "direct" else order.with_gradient
    return lambda graph: published_loss(*predict(graph), graph), [p for p in order.parameters() if p.requires_grad]


def our_step(model: TDN, compiled: bool) -> tuple[Callable[[Graph], Tensor], list[Tensor]]:
    """Loss of the trainer, and the model's weights."""
    paper = model.config.setting == "paper"
    module = TrainingModule(model, TrainingConfig(**(PAPER_TRAINING if paper else {})), stress=False).train()
    if compiled:
        module.compile_steps()

    def loss(graph: Graph) -> Tensor:
        return module.training_step(module.share(graph, weights_of(module.options)))[0]

    return loss, list(model.parameters())


def memory_now(device: str) -> int:
    """Bytes held between steps; the peak is counted from now on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    forget_peak()
    return peak_memory()


def main() -> None:
    """Compile and warm up on all batches once, then train on them and note every step."""
    code, settings = sys.argv[1], json.loads(sys.argv[2])
    device = settings["device"]
    torch.set_num_threads(settings["threads"])
    who, setting, forces, *rest = code.split()
    if who != "published":
        keep_freed_pages()
    model = build(settings, setting, forces).to(device)
    graphs = batches(settings)
    step, weights = published_step(model, forces) if who == "published" else our_step(model, "compiled" in rest)
    optimizer = torch.optim.Adam(weights, lr=1e-5)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.process_time if (device, settings["threads"]) == ("cpu", 1) else time.perf_counter
    seconds, begin = [], time.perf_counter()
    for number in range((1 + settings["repeats"]) * len(graphs)):
        if number == len(graphs):  # every batch was seen once
            first, before = time.perf_counter() - begin, memory_now(device)
        start = clock()
        optimizer.zero_grad(set_to_none=True)
        step(graphs[number % len(graphs)]).backward()
        optimizer.step()
        wait()
        seconds.append(clock() - start)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()
    n_atoms = sum(len(graph.species) for graph in graphs) / sum(graph.n_graphs for graph in graphs)
    n_edges = sum(len(graph.center) for graph in graphs) / sum(len(graph.species) for graph in graphs)
    timed = seconds[len(graphs) :]
    found = {"seconds": statistics.median(timed), "first": first, "memory": peak - before}
    print(json.dumps(found | {"atoms": n_atoms, "degree": n_edges}))


if __name__ == "__main__":
    main()
