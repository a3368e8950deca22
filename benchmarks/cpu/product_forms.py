"""Ways to multiply two (n, d, channels) arrays equivariantly: all paths l1 x l2 -> l3 up to l_max, SO(3), even irreps.

All forms weight the paths equally, as path-weight sharing does; all but the fully connected one of e3nn multiply each
row and channel by a weight in the end, as radial weights do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor

from tdn.algebra.clebsch_gordan import admissible_paths, coupling_tensor
from tdn.algebra.cp_decomposition import CPFactors, cp_factors
from tdn.algebra.tensor_product import (
    CPTensorProduct,
    apply_edge_matrix,
    components_to_irreps,
    edge_matrix,
    edge_matrix_from_factors,
    irreps_to_components,
)

E3NN = {"irrep_normalization": "none", "path_normalization": "none", "internal_weights": False}
#: Highest degree with fitted CP factors of rank 7 l_max^2.
FITTED = 3


@dataclass(frozen=True)
class Form:
    """One way to multiply: ``run`` is timed, in the layout it likes best."""

    name: str
    run: Callable[..., Tensor]
    #: first (n, d, C), second (n, d, C2), weight (n, C) -> arguments of ``run``
    arguments: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
    #: result of ``run`` -> (n, d, C)
    result: Callable[[Tensor], Tensor]
    #: what it represents: coupling tensor (d, d, d) float64, whether rows are weighted, mixing (C, C2, C) of channels
    tensor: Tensor
    weighted: bool = True
    mixing: Tensor | None = None

    def expected(self, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        """The same by its definition, (n, d, C) float64."""
        x, y, w = first.double(), second.double(), weight.double().unsqueeze(1)
        if self.mixing is not None and second.size(2) > 1:
            return torch.einsum("kij,niu,njv,uvw->nkw", self.tensor, x, y, self.mixing.double())
        out = torch.einsum("kij,niu,nju->nku", self.tensor, x, y.expand_as(x))
        out = out * w if self.weighted else out
        return out if self.mixing is None else out @ self.mixing[:, 0].double()


def factors_of(l_max: int) -> CPFactors:
    """CP factors of rank 7 l_max^2: the shipped ones, random ones of that shape above ``FITTED``."""
    rank, dim = 7 * l_max**2, (l_max + 1) ** 2
    if l_max <= FITTED:
        return cp_factors(l_max, rank, "so3")
    return CPFactors(*(torch.randn(dim, rank, dtype=torch.float64) / rank**0.5 for _ in range(3)), float("inf"))


def irreps(l_max: int, n_channels: int) -> o3.Irreps:
    """``Cx0e + Cx1e + ...``."""
    return o3.Irreps([(n_channels, (degree, 1)) for degree in range(l_max + 1)])


def as_given(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Arguments of a form that works on arrays of components."""
    return tensors


def unchanged(out: Tensor) -> Tensor:
    """Result of such a form."""
    return out


def fully_connected(l_max: int, n_channels: int, n_second: int) -> Form:
    """e3nn's product with a weight for every path and triple of channels, here equal ones for all paths."""
    out = irreps(l_max, n_channels)
    module = o3.FullyConnectedTensorProduct(out, irreps(l_max, n_second), out, shared_weights=True, **E3NN)
    mixing = torch.randn(n_channels, n_second, n_channels) / (n_channels * n_second) ** 0.5
    weights = mixing.flatten().repeat(len(admissible_paths(l_max, "so3")))
    return Form(
        "e3nn, fully connected",
        lambda x, y: module(x, y, weights),
        lambda x, y, _: (components_to_irreps(x), components_to_irreps(y)),
        lambda z: irreps_to_components(z, n_channels),
        coupling_tensor(l_max, "so3", "none"),
        weighted=False,
        mixing=mixing,
    )


def path_by_path(l_max: int, n_channels: int, n_second: int) -> Form:
    """e3nn's product channel by channel without weights, times one weight: faster there than a weight for each path."""
    out, mode = irreps(l_max, n_channels), "uvu" if n_second == 1 else "uuu"
    instructions = [(*path, mode, False, 1.0) for path in admissible_paths(l_max, "so3")]
    module = o3.TensorProduct(out, irreps(l_max, n_second), out, instructions, shared_weights=False, **E3NN)

    def arguments(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        spread = components_to_irreps(weight.unsqueeze(1).expand_as(x))
        return components_to_irreps(x), components_to_irreps(y), spread

    return Form(
        "e3nn, path by path, one weight",
        lambda x, y, w: module(x, y) * w,
        arguments,
        lambda z: irreps_to_components(z, n_channels),
        coupling_tensor(l_max, "so3", "none"),
    )


def of_tensor(
    name: str, run: Callable[..., Tensor], tensor: Tensor, mixing: Tensor | None = None, transpose: bool = False
) -> Form:
    """A form on arrays of components, (d, n, C) with ``transpose``."""
    if not transpose:
        return Form(name, run, as_given, unchanged, tensor, mixing=mixing)
    return Form(
        name,
        run,
        lambda x, y, w: (x.transpose(0, 1).contiguous(), y.transpose(0, 1).contiguous(), w),
        lambda z: z.transpose(0, 1),
        tensor,
        mixing=mixing,
    )


def one_channel(l_max: int, n_channels: int) -> list[Form]:
    """Forms for a second operand of one channel, the spherical harmonics of an edge."""
    exact, factors = coupling_tensor(l_max, "so3", "none"), factors_of(l_max)
    tensor, linear = exact.float(), torch.randn(n_channels, n_channels) / n_channels**0.5
    a, b, c = factors.output.float(), factors.first.float(), factors.second.float()
    hadamard = CPTensorProduct(l_max, n_channels, 1, normalization="none", factors=factors)

    def edge(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return apply_edge_matrix(edge_matrix(tensor, y[:, :, 0]), x, w)

    return [
        fully_connected(l_max, n_channels, 1),
        path_by_path(l_max, n_channels, 1),
        of_tensor(
            "CP, Hadamard form (Eq. 4)", lambda x, y, w: hadamard.multiply(x, y) * w.unsqueeze(1), factors.tensor()
        ),
        of_tensor(
            "CP, edge matrix",
            lambda x, y, w: apply_edge_matrix(edge_matrix_from_factors(a, b, c, y[:, :, 0]), x, w),
            factors.tensor(),
        ),
        of_tensor("exact, edge matrix", edge, exact),
        of_tensor("exact, edge matrix, linear", lambda x, y, w: edge(x, y, w) @ linear, exact, linear.unsqueeze(1)),
    ]


def many_channels(l_max: int, n_channels: int) -> list[Form]:
    """Forms for two operands of many channels; all but the fully connected one multiply channel by channel."""
    exact, factors = coupling_tensor(l_max, "so3", "none"), factors_of(l_max)
    options = {"mode": "uuu", "paths": "so3", "normalization": "none"}
    dense = CPTensorProduct(l_max, n_channels, n_channels, form="exact", **options)
    hadamard = CPTensorProduct(l_max, n_channels, n_channels, factors=factors, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls compressed rows a beta feature
        rows = exact.float().flatten(1).to_sparse_csr()  # (d, d d)

    def sparse(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        outer = (x.unsqueeze(1) * y.unsqueeze(0)).flatten(2).flatten(0, 1)  # (d d, n C)
        return (rows @ outer).view_as(x) * w

    return [
        fully_connected(l_max, n_channels, n_channels),
        path_by_path(l_max, n_channels, n_channels),
        of_tensor("CP, Hadamard form (Eq. 4)", hadamard, factors.tensor()),
        of_tensor("exact, dense", dense, exact),
        of_tensor("exact, sparse", sparse, exact, transpose=True),
    ]
