"""The tensor products of the network: one edge matrix K for all of them.

The second operand (spherical harmonics) has one channel and all paths share one weight, so the product of Eq. 2 of
the paper is ``out = w * (K first)`` with ``K_ki = sum_j M_kij Y_j``: exact, and cheaper than any CP form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tdn.algebra.clebsch_gordan import admissible_paths, component_scale, coupling_tensor, path_rows
from tdn.algebra.cp_decomposition import cp_factors
from tdn.algebra.tensor_product import apply_edge_matrix, edge_matrix, edge_matrix_from_factors
from tdn.config.model import ModelConfig


class EdgeProduct(nn.Module):
    """``out[e,k,c] = weight[e,c] sum_i matrix[e,k,i] first[e,i,c]``; deployed models use the fused operator instead."""

    def forward(self, matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
        """(n_edges, d, d), (n_edges, d, C), (n_edges, C) -> (n_edges, d, C)."""
        return apply_edge_matrix(matrix, first, weight)


class FirstColumn(nn.Module):
    """:class:`EdgeProduct` for a first operand with only its scalar row, which needs only the first column of K."""

    def forward(self, matrix: Tensor, scalar: Tensor) -> Tensor:
        """(n_edges, d, d), weight times scalar (n_edges, C) -> (n_edges, d, C)."""
        return matrix[:, :, 0].unsqueeze(-1) * scalar.unsqueeze(1)


def paths_to_degrees(config: ModelConfig) -> list[int]:
    """Number of paths to each degree of the product."""
    products = [l3 for _, _, l3 in admissible_paths(config.l_max, config.paths)]
    return [products.count(degree) for degree in range(config.l_max + 1)]


class PathProduct(nn.Module):
    """The product with a weight for each path; a matrix has rows for each of them, see :func:`path_rows`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_paths = paths_to_degrees(config)

    def forward(self, matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
        """(n_edges, rows, d), (n_edges, d, C), (n_edges, P C) -> (n_edges, d, C)."""
        n_edges, n_channels = first.size(0), first.size(2)
        parts = torch.bmm(matrix, first)
        weights = weight.view(n_edges, weight.size(1) // n_channels, n_channels)
        sums: list[Tensor] = []
        row, path = 0, 0
        for degree, n in enumerate(self.n_paths):
            end = row + n * (2 * degree + 1)
            of_paths = parts[:, row:end].view(n_edges, n, 2 * degree + 1, n_channels)
            sums.append((of_paths * weights[:, path : path + n].unsqueeze(2)).sum(1))
            row, path = end, path + n
        return torch.cat(sums, dim=1)


class PathColumn(nn.Module):
    """:class:`FirstColumn` with a weight for each path; the path to degree l is the first of those with product l."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_paths = paths_to_degrees(config)

    def forward(self, matrix: Tensor, scalar: Tensor) -> Tensor:
        """(n_edges, rows, d), weights times scalar (n_edges, (l_max + 1) C) -> (n_edges, d, C)."""
        n_degrees = len(self.n_paths)
        weights = scalar.view(matrix.size(0), n_degrees, scalar.size(1) // n_degrees)
        blocks: list[Tensor] = []
        row = 0
        for degree, n in enumerate(self.n_paths):
            column = matrix[:, row : row + 2 * degree + 1, 0]
            blocks.append(column.unsqueeze(-1) * weights[:, degree].unsqueeze(1))
            row += n * (2 * degree + 1)
        return torch.cat(blocks, dim=1)


def make_product(config: ModelConfig) -> nn.Module:
    """Product for all rows of the first operand."""
    return EdgeProduct() if config.path_weights == "shared" else PathProduct(config)


def make_column(config: ModelConfig) -> nn.Module:
    """Product for only the scalar row of the first operand."""
    return FirstColumn() if config.path_weights == "shared" else PathColumn(config)


class ExactCoupling(nn.Module):
    """The exact coupling tensor, or :func:`path_rows` for separate weights; conversions start from float64 values."""

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class that are text
        tensor: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.l_max, self.paths = config.l_max, config.paths
        self.normalization = "component" if config.smooth else "none"
        self.separate = config.path_weights == "separate"
        self.register_buffer("tensor", self._exact().to(torch.get_default_dtype()), persistent=False)

    def _exact(self) -> Tensor:
        make = path_rows if self.separate else coupling_tensor
        return make(self.l_max, self.paths, self.normalization)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        self.tensor = self._exact().to(self.tensor)
        return self

    def forward(self, harmonics: Tensor) -> Tensor:
        """Spherical harmonics (n_edges, d) -> edge matrices (n_edges, d, d), or (n_edges, rows, d) by paths."""
        return edge_matrix(self.tensor, harmonics)


class CPCoupling(nn.Module):
    """Edge matrices from CP factors (paper, Eq. 3): M_kij ~ sum_r output_kr first_ir second_jr.

    The factors are constants of the model and part of its state; without ``fitted`` they stay empty until a state is
    loaded.
    """

    if TYPE_CHECKING:
        first: Tensor
        second: Tensor
        output: Tensor

    def __init__(self, config: ModelConfig, rank: int, fitted: bool) -> None:
        super().__init__()
        factors = fitted_factors(config, rank) if fitted else [torch.zeros(config.n_components, rank)] * 3
        for name, factor in zip(("first", "second", "output"), factors, strict=True):
            self.register_buffer(name, factor.to(torch.get_default_dtype(), copy=True))

    def forward(self, harmonics: Tensor) -> Tensor:
        """Spherical harmonics (n_edges, d) -> edge matrices (n_edges, d, d), [k output, i first operand]."""
        return edge_matrix_from_factors(self.output, self.first, self.second, harmonics)


def fitted_factors(config: ModelConfig, rank: int) -> list[Tensor]:
    """CP factors (first, second, output) of the setting's coupling tensor, each (d, rank) float64."""
    factors = cp_factors(config.l_max, rank, config.paths)
    if not config.smooth:
        return [factors.first, factors.second, factors.output]
    scale = component_scale(config.l_max, config.paths).unsqueeze(-1)
    return [factors.first, factors.second, factors.output * scale]


def make_coupling(config: ModelConfig, fitted: bool = True) -> nn.Module:
    """Exact coupling, or the CP form of ``config.cp_rank`` terms."""
    return ExactCoupling(config) if config.cp_rank is None else CPCoupling(config, config.cp_rank, fitted)
