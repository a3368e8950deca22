"""Small archives for the fused engine, graphs that are hard on its kernels, and what its eager twin makes of both."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from test_fused_twin import ELEMENTS, arguments, gradient, make_model
from torch import Tensor

from tdn.data.graph import Graph
from tdn.deployment.deployed import evaluate
from tdn.deployment.fused import EagerTwin
from tdn.deployment.label import make_label
from tdn.deployment.rewrite import deployable
from tdn.deployment.write import save_network
from tdn.model import TDN

COMPETING = {"attention": "softmax", "norm": "smooth"}
#: Channels that fill vectors and that do not, heads that do and that do not, every degree, both settings, all norms and
#: both kinds of attention.
MODELS: dict[str, dict[str, Any]] = {
    "l0": {"l_max": 0, "n_channels": 6, "n_heads": 3},
    "l1": {"l_max": 1, "n_channels": 20, "n_heads": 4, "pair_embedding": "sum"},
    "l1 deep": {"l_max": 1, "n_channels": 8, "n_heads": 2, "n_layers": 4},
    "l1 wide": {"l_max": 1, "n_channels": 64, "n_heads": 1, "n_layers": 1},
    "l2 so3": {"l_max": 2, "n_channels": 12, "n_heads": 3, "paths": "so3", "norm": "layer", "attention": "softmax"},
    "l1 bare": {"l_max": 1, "n_channels": 20, "n_heads": 4, "radial_norm": "none", "norm": "smooth"},
    "l1 softmax": {"l_max": 1, "n_channels": 20, "n_heads": 4, **COMPETING},
    "l1 wide softmax": {"l_max": 1, "n_channels": 64, "n_heads": 1, "n_layers": 1, **COMPETING},
    "l2": {"l_max": 2, "n_channels": 12, "n_heads": 3},
    "l2 softmax": {"l_max": 2, "n_channels": 12, "n_heads": 3, **COMPETING},
    "l2 sigmoid, norm": {"l_max": 2, "n_channels": 20, "n_heads": 4, "norm": "smooth"},
    "l3": {"l_max": 3, "n_channels": 12, "n_heads": 4, "n_layers": 1},
    "l1 odd": {"l_max": 1, "n_channels": 15, "n_heads": 5},
    "l2 separate": {"l_max": 2, "n_channels": 20, "n_heads": 4, "path_weights": "separate"},
    "cp": {"l_max": 1, "n_channels": 10, "n_heads": 10, "cp_rank": 6},
    "direct": {"l_max": 2, "n_channels": 6, "n_heads": 1, "direct_forces": True},
    "direct softmax": {"l_max": 1, "n_channels": 6, "n_heads": 2, "direct_forces": True, **COMPETING},
    "zbl": {"l_max": 1, "n_channels": 20, "n_heads": 4, "pair_term": "zbl"},
    "paper": {"setting": "paper"},
    "paper gradient": {"setting": "paper", "direct_forces": False, "forces": "gradient", "l_max": 2, "n_channels": 20},
}
#: Coarse tables: the twin has the same ones.
N_KNOTS = 65
EVERY_PAIR = torch.arange(len(ELEMENTS) ** 2)


@dataclass(frozen=True)
class Results:
    """Of one evaluation; energies without references."""

    energies: Tensor
    gradients: Tensor
    direct: Tensor | None = None

    def differences(self, other: Results) -> dict[str, float]:
        """Relative to the largest value of ``other``."""
        pairs = {"energies": (self.energies, other.energies), "gradients": (self.gradients, other.gradients)}
        if self.direct is not None and other.direct is not None:
            pairs["direct"] = (self.direct, other.direct)
        return {name: float((a - b).abs().max() / b.abs().max()) for name, (a, b) in pairs.items()}

    def same_bits(self, other: Results) -> bool:
        """Direct forces are not compared."""
        return torch.equal(self.energies, other.energies) and torch.equal(self.gradients, other.gradients)


class Case:
    """A model and its archive; keeps the engines and the twin's results that tests share."""

    def __init__(self, model: TDN, archive: Path) -> None:
        self.model, self.archive = model, archive
        self._engines: dict[object, Any] = {}
        self._twins: dict[tuple[int, ...], Results] = {}

    @classmethod
    def make(cls, folder: Path, n_knots: int = N_KNOTS, **options: Any) -> Case:
        """A case of ``make_model``, but with small references, to which energies do not lose digits; not verified."""
        model = make_model(**options)
        model.set_references([-0.6, 0.8, -1.1], 0.7)
        network = deployable(model, model.dtype, n_knots)
        save_network(network, make_label(model, model.dtype, "test", {}), folder / "a.tdn.pt")
        return cls(model, folder / "a.tdn.pt")

    def new_engine(self, dtype: torch.dtype = torch.float64, engine: str = "fused", **options: Any) -> Any:
        """With the kernels that the environment asks for."""
        from tdn import _core

        name = str(dtype).removeprefix("torch.")
        return _core.Evaluator(str(self.archive), dtype=name, engine=engine, **options)

    def engine(self, dtype: torch.dtype = torch.float64) -> Any:
        """The same for the same kernels; making one takes longer than a test."""
        key = (os.environ.get("TDN_KERNELS"), dtype)
        if key not in self._engines:
            self._engines[key] = self.new_engine(dtype)
        return self._engines[key]

    def evaluate(self, engine: Any, graph: Graph, dtype: torch.dtype = torch.float64, **options: Any) -> Results:
        """Gradients, and direct forces of a model that has them."""
        graph = replace(graph, vectors=graph.vectors.to(dtype))
        energies, gradients, _ = evaluate(engine, graph, **options)
        direct = evaluate(engine, graph, direct=True, **options)[2] if self.model.config.direct_forces else None
        bound = energies - self.model.network.references.energies[graph.species[: energies.size(0)]]
        return Results(bound, gradients.double(), None if direct is None else direct.double())

    def twin(self, counts: tuple[int, ...]) -> Results:
        """Of ``random_edges(counts)``."""
        if counts not in self._twins:
            self._twins[counts] = self._run_twin(self.random_edges(counts))
        return self._twins[counts]

    def _run_twin(self, graph: Graph) -> Results:
        twin = EagerTwin(deployable(self.model, torch.float64, N_KNOTS).fused_weights(EVERY_PAIR), len(ELEMENTS))
        vectors = graph.vectors.clone().requires_grad_()
        given = arguments(self.model, graph, vectors, EVERY_PAIR)
        energies = twin.atom_energies(*given)
        bound = energies.detach() - self.model.network.references.energies[graph.species]
        direct = twin.direct_forces(*given).detach() if self.model.config.direct_forces else None
        return Results(bound, gradient(energies, vectors), direct)

    def random_edges(self, counts: tuple[int, ...], seed: int = 0) -> Graph:
        """Centers with these numbers of edges to anyone, in random directions; vectors are float32 numbers.

        No structure has such edges, which the engine does not ask.
        """
        generator = torch.Generator().manual_seed(seed)
        n_atoms, n_edges = len(counts), sum(counts)
        center = torch.repeat_interleave(torch.arange(n_atoms), torch.tensor(counts, dtype=torch.int64))
        neighbor = torch.randint(max(n_atoms, 1), (n_edges,), generator=generator)
        species = torch.randint(len(ELEMENTS), (n_atoms,), generator=generator)
        directions = torch.randn(n_edges, 3, generator=generator, dtype=torch.float64)
        shares = torch.rand(n_edges, 1, generator=generator, dtype=torch.float64)
        lengths = 0.8 + (self.model.config.cutoff - 0.8) * shares
        vectors = (lengths * directions / directions.norm(dim=1, keepdim=True)).float().double()
        return Graph(species, center, neighbor, vectors, torch.zeros_like(species), n_graphs=1)
