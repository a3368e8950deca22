"""Closed-form models in the real archive format: tests compare C++ and LAMMPS with a formula on the same screen.

Run as a script, it writes every model in float32 and float64 into the folder given.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tdn import schema
from tdn.deployment.write import save

CUTOFF = 3.0  # angstrom
ELEMENTS = ("H", "O")
N_COLUMNS = 70  # of the rows of the model with two layers


def label(name: str, layer_widths: list[int], dtype: str, changes: dict[str, object]) -> dict[str, object]:
    """A complete label; ``changes`` replaces fields, a value of None removes one."""
    fields: dict[str, object] = {
        schema.FORMAT: schema.FORMAT_NAME,
        schema.VERSION: schema.FORMAT_VERSION,
        schema.MODEL_NAME: name,
        schema.ELEMENTS: list(ELEMENTS),
        schema.CUTOFF: CUTOFF,
        schema.N_LAYERS: len(layer_widths),
        schema.LAYER_WIDTHS: layer_widths,
        schema.FORCE_WIDTH: 0,
        schema.DTYPE: dtype,
        schema.LENGTH_UNIT: "angstrom",
        schema.ENERGY_UNIT: "eV",
        schema.ENERGY_CONVENTION: "extensive",
        schema.FORCE_KINDS: ["gradient"],
        schema.SMOOTH_CUTOFF: True,
        schema.MIN_DISTANCE: 0.0,
        schema.CITATION: "",
        schema.TORCH_VERSION: torch.__version__,
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


class PairLayer(nn.Module):
    """Sends one column that nobody reads."""

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """Rows (n_owned, 1)."""
        return x.flatten(1)

    @torch.jit.export
    def update(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """Sum of the edge energies 1/2 k (r - r0)^2 (1 - (r/c)^2)^3 at each center."""
        return x.index_add(0, center, features[0].unsqueeze(1).unsqueeze(2))


class PairModel(nn.Module):
    """E_i = sum_j 1/2 k (r_ij - r0)^2 (1 - (r_ij/c)^2)^3 with k by pair of elements: one layer, no exchange needed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stiffness", torch.tensor([1.0, 2.0, 2.0, 3.0]))
        self.layers = nn.ModuleList([PairLayer()])

    @torch.jit.export
    def edge_features(self, vectors: Tensor, pair: Tensor) -> list[Tensor]:
        """One feature: the energy of the edge."""
        r = torch.linalg.vector_norm(vectors, dim=1)
        envelope = (1 - (r / 3.0) ** 2) ** 3
        return [0.5 * self.stiffness[pair] * (r - 1.2) ** 2 * envelope]

    @torch.jit.export
    def embed(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """Zeros (n_owned, 1, 1)."""
        return torch.zeros([species.size(0), 1, 1], dtype=features[0].dtype, device=species.device)

    @torch.jit.export
    def readout(self, x: Tensor, species: Tensor, center: Tensor) -> Tensor:
        """Atom energies (n_owned), eV."""
        return x.reshape(-1)


class MessageLayer(nn.Module):
    """x_i <- x_i + sum_j u_ij tanh(x_j), sent in many columns: a row travels whole."""

    def __init__(self) -> None:
        super().__init__()
        columns = torch.linspace(0.5, 1.5, N_COLUMNS)
        self.register_buffer("columns", columns)
        self.register_buffer("inverse", columns / (columns**2).sum())

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """Rows (n_owned, N_COLUMNS)."""
        return torch.tanh(x).reshape(-1, 1) * self.columns

    @torch.jit.export
    def update(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """(n_owned, 1, 1)."""
        messages = features[0] * (rows @ self.inverse)[neighbor]
        return x.index_add(0, center, messages.unsqueeze(1).unsqueeze(2))


class ForceHead(nn.Module):
    """F_i = x_i sum_j x_j u_ij r_ij: not a gradient of anything."""

    @torch.jit.export
    def send(self, x: Tensor) -> Tensor:
        """Rows (n_owned, 1)."""
        return x.reshape(-1, 1)

    @torch.jit.export
    def forces(
        self, x: Tensor, rows: Tensor, center: Tensor, neighbor: Tensor, pair: Tensor, features: list[Tensor]
    ) -> Tensor:
        """(n_owned, 3)."""
        pulls = (rows[neighbor, 0] * features[0]).unsqueeze(1) * features[1]
        sums = torch.zeros([x.size(0), 3], dtype=x.dtype, device=x.device).index_add(0, center, pulls)
        return x.reshape(-1, 1) * sums


class MessageModel(nn.Module):
    """x = a_species; two layers x_i += sum_j u_ij tanh(x_j); E_i = x_i^2 + e_species, u = k (1 - (r/c)^2)^3."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("start", torch.tensor([0.3, -0.5]))
        self.register_buffer("reference", torch.tensor([-1.0, -2.0]))
        self.register_buffer("stiffness", torch.tensor([0.5, 0.8, 0.9, 0.4]))
        self.layers = nn.ModuleList([MessageLayer(), MessageLayer()])
        self.force_head = ForceHead()

    @torch.jit.export
    def edge_features(self, vectors: Tensor, pair: Tensor) -> list[Tensor]:
        """Weights u (n_edges) and vectors (n_edges, 3)."""
        squared = (vectors**2).sum(1)
        return [self.stiffness[pair] * (1 - squared / 9.0) ** 3, vectors]

    @torch.jit.export
    def embed(self, species: Tensor, center: Tensor, pair: Tensor, features: list[Tensor]) -> Tensor:
        """(n_owned, 1, 1); does not depend on the edges."""
        return self.start[species].reshape(-1, 1, 1)

    @torch.jit.export
    def readout(self, x: Tensor, species: Tensor, center: Tensor) -> Tensor:
        """Atom energies (n_owned), eV."""
        return x.reshape(-1) ** 2 + self.reference[species]


def write(module: nn.Module, fields: dict[str, object], path: Path) -> Path:
    """Script ``module`` and write it with its label."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated as a whole
        scripted = torch.jit.script(module.eval())
    save(scripted, fields, path)
    return path


def make_archive(name: str, dtype: str, folder: Path, changes: dict[str, object] | None = None) -> Path:
    """Write the closed-form model ``name`` ("pair" or "message"), ``changes`` in its label, and return the path."""
    # Constants are rounded once, to the dtype the model is defined in.
    torch.set_default_dtype(torch.float64)
    try:
        module = {"pair": PairModel, "message": MessageModel}[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    widths = {"pair": [1], "message": [N_COLUMNS, N_COLUMNS]}[name]
    head = {schema.FORCE_WIDTH: 1, schema.FORCE_KINDS: ["gradient", "direct"]} if name == "message" else {}
    module = module.to(getattr(torch, dtype))
    return write(module, label(name, widths, dtype, {**head, **(changes or {})}), folder / f"{name}-{dtype}.tdn.pt")


if __name__ == "__main__":
    for kind in ("pair", "message"):
        for precision in ("float32", "float64"):
            print(make_archive(kind, precision, Path(sys.argv[1])))
