"""Measured equivariance errors of CP products against the two bounds of the paper's Theorem 3.1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cp_cache
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from output import GROUP, finish, save, write_table
from torch import Tensor

from tdn.algebra import cp_fit
from tdn.algebra.clebsch_gordan import coupling_tensor
from tdn.algebra.spherical_harmonics import spherical_harmonics

N_ROTATIONS, N_PAIRS = 100, 200
#: Rotations from which the worst operands are searched, and steps of that search.
N_SEARCHED, N_STEPS = 20, 30


@dataclass(frozen=True)
class Measured:
    """Errors for operands of length one (C = 1), and what bounds them."""

    mean: float  #: root mean square over random rotations and operands
    largest: float  #: largest of these
    worst: float  #: largest that a search over operands finds
    bound: float  #: 2 |M - Mhat|_F, the first bound
    second_bound: float  #: from singular values, whatever Mhat is
    norm: float  #: |M|_F


def random_rotations(n: int, seed: int) -> Tensor:
    """Proper rotations (n, 3, 3), float64."""
    gaussian = torch.randn(n, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    orthogonal, upper = torch.linalg.qr(gaussian)
    orthogonal = orthogonal * torch.diagonal(upper, dim1=1, dim2=2).sign().unsqueeze(1)  # uniform (Haar) in O(3)
    return orthogonal * torch.linalg.det(orthogonal).view(-1, 1, 1)


def component_rotations(rotations: Tensor, l_max: int) -> Tensor:
    """D with Y(R v) = D Y(v), (n, d, d), by least squares over fixed directions."""
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)
    inverse = torch.linalg.pinv(spherical_harmonics(points, l_max))  # (d, 200)
    images = points @ rotations.transpose(1, 2)  # (n, 200, 3)
    at_images = spherical_harmonics(images.flatten(0, 1), l_max).unflatten(0, images.shape[:2])
    return (inverse @ at_images).transpose(1, 2)


def unit_vectors(shape: tuple[int, ...], seed: int) -> Tensor:
    """Random directions, float64."""
    vectors = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def commutator(tensor: Tensor, rotations: Tensor) -> Tensor:
    """Mhat(D x, D y) - D Mhat(x, y) as tensors in x and y, (n, d, d, d)."""
    moved = torch.einsum("kab,nai->nkib", tensor, rotations)
    moved = moved @ rotations.unsqueeze(1)
    return moved - torch.einsum("nkl,lij->nkij", rotations, tensor)


def largest_value(tensors: Tensor, seed: int) -> float:
    """Largest |T(x, y)| found over unit x and y by alternating maximization, for a stack (n, d, d, d)."""
    scale = float(tensors.norm())
    tensors = tensors / scale
    x, y = (unit_vectors((len(tensors), tensors.size(1)), seed + k) for k in (0, 1))
    for _ in range(N_STEPS):
        z = torch.nn.functional.normalize(torch.einsum("nkij,ni,nj->nk", tensors, x, y), dim=1)
        x = torch.nn.functional.normalize(torch.einsum("nkij,nk,nj->ni", tensors, z, y), dim=1)
        y = torch.nn.functional.normalize(torch.einsum("nkij,nk,ni->nj", tensors, z, x), dim=1)
    return scale * float(torch.einsum("nkij,ni,nj->nk", tensors, x, y).norm(dim=1).max())


def tail_bound(exact: Tensor, rank: int) -> float:
    """2 sqrt(sum over the three unfoldings of the squared singular values after the floor(R^(1/3))-th)."""
    kept = next(n for n in range(rank + 1) if (n + 1) ** 3 > rank)
    unfoldings = [exact.movedim(mode, 0).flatten(1) for mode in range(3)]
    tails = [torch.linalg.svdvals(u)[kept:].square().sum() for u in unfoldings]
    return 2 * math.sqrt(sum(float(t) for t in tails))


def measure(l_max: int, rank: int, paths: str) -> Measured:
    """Errors at random rotations and operands, and the worst ones found."""
    exact = coupling_tensor(l_max, paths, "none")
    approximate = cp_fit.compose(cp_cache.factors_of(l_max, rank, paths))
    rotations = component_rotations(random_rotations(N_ROTATIONS, seed=rank), l_max)
    x, y = (unit_vectors((N_PAIRS, len(exact)), seed=k) for k in (1, 2))
    differences = torch.cat([commutator(approximate, part) for part in rotations.split(10)])
    errors = torch.einsum("nkij,pi,pj->npk", differences, x, y).norm(dim=2)
    return Measured(
        mean=float(errors.square().mean().sqrt()),
        largest=float(errors.max()),
        worst=largest_value(differences[:N_SEARCHED], seed=3),
        bound=2 * float((exact - approximate).norm()),
        second_bound=tail_bound(exact, rank),
        norm=float(exact.norm()),
    )


def draw_panel(axes: Axes, paths: str, l_max: int, found: dict[int, Measured]) -> None:
    """Errors and bounds against the rank, for ranks that are not exact."""
    ranks = [rank for rank, m in found.items() if m.bound > 1e-10]
    values = [found[rank] for rank in ranks]
    axes.semilogy(ranks, [m.second_bound for m in values], ":", color="gray", label="second bound (singular values)")
    axes.axhline(2 * values[0].norm, color="black", linewidth=0.7, label=r"first bound of $\hat M$ = 0")
    axes.semilogy(ranks, [m.bound for m in values], "-", color="tab:red", label=r"first bound, 2 |M - $\hat M$|")
    axes.semilogy(ranks, [m.worst for m in values], "v", markersize=4, color="tab:purple", label="worst found")
    axes.semilogy(ranks, [m.mean for m in values], "o", markersize=4, color="tab:blue", label="mean over random")
    if len(ranks) < len(found):
        exact = cp_cache.exact_rank(l_max, paths)
        axes.axvline(exact, color="tab:green", linestyle="--", linewidth=1, label="exact from here on")
    y_label = "equivariance error" if l_max == 1 else ""
    finish(axes, "rank R" if paths == "o3" else "", y_label, f"{GROUP[paths]}, l_max {l_max}")


def make() -> None:
    """Figure and table."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(2, 4, sharey=True)
    rows = []
    for row, paths in zip(panels, ("so3", "o3"), strict=True):
        for l_max, axes in enumerate(row, start=1):
            found = {rank: measure(l_max, rank, paths) for rank in cp_cache.RANKS[paths][l_max]}
            draw_panel(axes, paths, l_max, found)
            for rank, m in found.items():
                measured = [f"{value:.2e}" for value in (m.mean, m.largest, m.worst, m.bound)]
                rows.append([paths, str(l_max), str(rank), *measured, f"{m.second_bound:.2f}", f"{2 * m.norm:.2f}"])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    save(figure, "equivariance_bound")
    remark = (
        f"Equivariance error of the CP product for operands of length one: {N_ROTATIONS} random rotations x {N_PAIRS} "
        f"random pairs (mean, largest), a search over operands at {N_SEARCHED} of the rotations (worst), and the "
        "bounds of Theorem 3.1. Below 1e-12 the rank is exact. Made by `docs/theory/figures.py`."
    )
    header = ["paths", "l_max", "R", "mean", "largest", "worst", "first bound", "second bound", "first bound of 0"]
    write_table("equivariance_bound", remark, header, rows)
