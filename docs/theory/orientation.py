"""Whether a whole network turns with its atoms: CP products of falling error against the exact K(edge)."""

from __future__ import annotations

from typing import Any

import cp_cache
import torch
from equivariance import random_rotations
from matplotlib.figure import Figure
from output import finish, save, write_table
from torch import Tensor

from tdn.architectures import default_dtype
from tdn.data.graph import Graph
from tdn.deployment.verify import cluster_graph
from tdn.model import TDN, ModelConfig

ELEMENTS = ("H", "C", "O")
N_ATOMS, N_ROTATIONS = 20, 20
SMALL: dict[str, Any] = {"cutoff": 4.5, "n_channels": 32, "n_layers": 3, "radial_hidden": (32, 32)}
#: Ranks of the CP networks, by l_max.
RANKS = {1: (4, 5, 6, 7, 8), 2: (8, 14, 20, 24, 25, 28)}


def md_model(l_max: int) -> TDN:
    """Default setting, exact K(edge), random weights, float64."""
    torch.manual_seed(0)
    with default_dtype("float64"):
        return TDN(ModelConfig(ELEMENTS, l_max=l_max, **SMALL)).eval()


def paper_model(l_max: int, rank: int | None) -> TDN:
    """Published setting with gradient forces and the factors of this folder; None for its exact product."""
    torch.manual_seed(0)
    options = {"n_radial": 32, "direct_forces": False, "forces": "gradient", "l_max": l_max, "cp_rank": rank}
    with default_dtype("float64"):
        model = TDN(ModelConfig.paper(ELEMENTS, **SMALL, **options), fitted=False)
    if rank is not None:
        coupling = model.network.geometry.coupling
        output, first, second = cp_cache.factors_of(l_max, rank, "so3")
        coupling.output, coupling.first, coupling.second = output, first, second
    return model.eval()


def cluster(cutoff: float, rotation: Tensor) -> Graph:
    """A fixed cluster of atoms on a distorted grid, turned."""
    generator = torch.Generator().manual_seed(5)
    grid = torch.cartesian_prod(*3 * [torch.arange(3, dtype=torch.float64)])[:N_ATOMS]
    positions = 1.8 * grid + 0.6 * torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    species = torch.randint(len(ELEMENTS), (N_ATOMS,), generator=generator)
    return cluster_graph(positions @ rotation.t(), species, cutoff)


def rotation_error(model: TDN) -> float:
    """Root mean square of F(R x) - R F(x) over random rotations R, relative to that of F."""
    forces = model(cluster(model.cutoff, torch.eye(3, dtype=torch.float64))).forces.detach()
    differences = [
        model(cluster(model.cutoff, rotation)).forces.detach() - forces @ rotation.t()
        for rotation in random_rotations(N_ROTATIONS, seed=11)
    ]
    return float(torch.stack(differences).square().mean().sqrt() / forces.square().mean().sqrt())


def make() -> None:
    """Figure and table."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    rows, exact = [], {}
    for (l_max, ranks), marker in zip(RANKS.items(), "os", strict=True):
        couplings = [cp_cache.relative_error(l_max, rank, "so3") for rank in ranks]
        errors = [rotation_error(paper_model(l_max, rank)) for rank in ranks]
        exact = {"paper": rotation_error(paper_model(l_max, None)), "md": rotation_error(md_model(l_max))}
        axes.semilogy(ranks, errors, f"{marker}-", markersize=5, label=f"paper, CP, l_max {l_max}")
        for rank, coupling, error in zip(ranks, couplings, errors, strict=True):
            rows.append(["paper", str(l_max), f"CP, R = {rank}", f"{coupling:.1e}", f"{error:.1e}"])
        rows += [[name, str(l_max), "K(edge)", "0", f"{error:.1e}"] for name, error in exact.items()]
    axes.axhline(exact["md"], color="tab:green", linestyle="--", linewidth=1, label="md, K(edge), l_max 1 and 2")
    finish(axes, "rank R", "relative force error under rotation", "")
    axes.legend(fontsize=8, frameon=False)
    save(figure, "orientation")
    remark = (
        f"Networks with random weights, {SMALL['n_layers']} layers, {SMALL['n_channels']} channels, float64; a cluster "
        f"of {N_ATOMS} atoms, {N_ROTATIONS} rotations R: rms of F(R x) - R F(x) over rms of F. "
        "Made by `docs/theory/figures.py`."
    )
    write_table("orientation", remark, ["setting", "l_max", "product", "error of M", "error of forces"], rows)
