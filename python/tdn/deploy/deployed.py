"""A deployed archive as a Python model: the same segments LAMMPS runs, on a whole graph at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdn import schema
from tdn.data.graph import Graph
from tdn.deploy.archive import read_label
from tdn.errors import TDNError
from tdn.model.prediction import Prediction, predict
from tdn.ops import load_library


class DeployedModel:
    """Callable like :class:`tdn.model.TDN`; cannot be trained."""

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self.label: dict[str, Any] = read_label(path)
        load_library()
        try:
            self.module = torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as problem:
            reason = str(problem).splitlines()[0]
            raise TDNError(f"the module of '{path}' cannot be loaded ({reason}); deploy the model anew") from None

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; the position is the species index."""
        return tuple(self.label[schema.ELEMENTS])

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return float(self.label[schema.CUTOFF])

    @property
    def dtype(self) -> torch.dtype:
        """Precision of edge vectors and forces."""
        return torch.float64 if self.label[schema.DTYPE] == "float64" else torch.float32

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        return tuple(self.label[schema.FORCE_KINDS])

    @property
    def energy_convention(self) -> str:
        """``extensive`` or ``per_atom``."""
        return str(self.label[schema.ENERGY_CONVENTION])

    def __call__(self, graph: Graph, stress: bool = False, forces: str | None = None) -> Prediction:
        """Evaluate a graph; arguments and result as in :meth:`tdn.model.TDN.forward`."""
        return predict(self._run, graph, self.force_kinds, self.dtype, stress, forces=forces)

    def to(self, device: torch.device | str) -> DeployedModel:
        """Move to a device; returns itself."""
        self.module.to(device)
        return self

    def _run(self, graph: Graph, vectors: Tensor, with_direct: bool) -> tuple[Tensor, Tensor | None]:
        module, species, center, neighbor = self.module, graph.species, graph.center, graph.neighbor
        pair = species.index_select(0, center) * len(self.elements) + species.index_select(0, neighbor)
        features = module.edge_features(vectors, pair)
        x = module.embed(species, center, pair, features)
        for layer in module.layers.children():
            x = layer.update(x, layer.send(x), center, neighbor, pair, features)
        energies = module.readout(x, species, center)
        if not with_direct:
            return energies, None
        head = module.force_head
        return energies, head.forces(x, head.send(x), center, neighbor, pair, features)
