"""Path-shared equivariant tensor products on (n, d, channels) arrays: the drop-in layer of the paper.

All degrees have the same number of channels and all paths share one weight (paper, Sec. 3.2), so the weight acts on
channels only, the coupling tensor M on components only:

    out_kw = sum_uv W_uvw sum_ij M_kij first_iu second_jv                                  (mode uvw; others below)

    exact   M itself (paper, Eq. 2)
    cp      M_kij = sum_r output_kr first_ir second_jr (Eq. 3), hence the Hadamard form (Eq. 4):
            output ((first^T x) o (second^T y))

When the second operand has one channel, the exact form builds one matrix per row, K_ki = sum_j M_kij second_j, and
costs less than any CP form. Arrays are l-major, see ``components_to_irreps`` for e3nn's layout. Unlike e3nn's products
these have one weight for all paths and no path or fan-in coefficients besides ``normalization``.
"""

# No postponed annotations: torch.jit.script reads the annotations of the class.
import math

import torch
from torch import Tensor, nn

from tdn.algebra.clebsch_gordan import component_scale, coupling_tensor
from tdn.algebra.cp_decomposition import CPFactors, cp_factors
from tdn.errors import TDNError, suggest

MODES = ("uvw", "uvu", "uvv", "uuw", "uuu")
FORMS = ("exact", "cp")
#: CP factors below this relative error count as exact: another exact set would serve as well.
EXACT_BELOW = 1e-12


def edge_matrix(tensor: Tensor, second: Tensor) -> Tensor:
    """K_ki = sum_j M_kij second_j.

    Args:
        tensor: coupling tensor (d, d, d), [k output, i first, j second], or more rows k.
        second: (n, d), the one channel of the second operand.

    Returns:
        (n, d, d), [k, i], with the rows k of ``tensor``.
    """
    return (second @ tensor.flatten(0, 1).t()).view(-1, tensor.size(0), tensor.size(1))


def edge_matrix_from_factors(output: Tensor, first: Tensor, second_factor: Tensor, second: Tensor) -> Tensor:
    """K = output diag(second_factor^T second) first^T, from CP factors (d, R) and ``second`` (n, d): (n, d, d)."""
    terms = second @ second_factor  # (n, R)
    return (output.unsqueeze(0) * terms.unsqueeze(1)) @ first.t()


def apply_edge_matrix(matrix: Tensor, first: Tensor, weight: Tensor) -> Tensor:
    """out_kc = weight_c sum_i K_ki first_ic: (n, d, d), (n, d, C), (n, C) -> (n, d, C)."""
    return torch.bmm(matrix, first) * weight.unsqueeze(1)


def components_to_irreps(array: Tensor) -> Tensor:
    """(n, (l_max + 1)^2, C) -> (n, C (l_max + 1)^2) in e3nn's layout ``Cx0e + Cx1o + ...`` (channel before m)."""
    blocks = [array[:, degree**2 : (degree + 1) ** 2] for degree in range(math.isqrt(array.size(1)))]
    return torch.cat([block.transpose(1, 2).flatten(1) for block in blocks], dim=1)


def irreps_to_components(features: Tensor, n_channels: int) -> Tensor:
    """Inverse of :func:`components_to_irreps`."""
    degrees = range(math.isqrt(features.size(1) // n_channels))
    blocks = features.split([n_channels * (2 * degree + 1) for degree in degrees], dim=1)
    return torch.cat([block.unflatten(1, (n_channels, -1)).transpose(1, 2) for block in blocks], dim=1)


def weight_shape(mode: str, n_first: int, n_second: int, n_out: int) -> tuple[int, ...]:
    """Shape of the weight of one row; refuses channel numbers that the mode cannot connect."""
    if mode not in MODES:
        raise TDNError(f"tensor product mode is {mode!r}{suggest(mode, MODES)}; use one of {', '.join(MODES)}")
    for name, number in (("n_first", n_first), ("n_second", n_second), ("n_out", n_out)):
        if number < 1:
            raise TDNError(f"tensor product {name} is {number}; give at least one channel")
    if mode.startswith("uu") and n_first != n_second:
        raise TDNError(f"mode {mode} pairs equal channels but n_first = {n_first} and n_second = {n_second}")
    required = {"uvu": n_first, "uvv": n_second, "uuu": n_first}.get(mode, n_out)
    if n_out != required:
        raise TDNError(f"mode {mode} makes {required} channels but n_out = {n_out}; set n_out = {required}")
    channels = {"uvw": (n_first, n_second, n_out), "uuw": (n_first, n_out), "uuu": (n_first,)}
    return channels.get(mode, (n_first, n_second))


class CPTensorProduct(nn.Module):
    """Bilinear equivariant product of two (n, d, channels) arrays, d = (l_max + 1)^2.

    ======  ============================================  =================  ============
    mode    out                                           weights per row    out channels
    ======  ============================================  =================  ============
    uvw     out_w = sum_uv W_uvw first_u x second_v       C1 C2 C_out        C_out
    uvu     out_u = sum_v W_uv first_u x second_v         C1 C2              C1
    uvv     out_v = sum_u W_uv first_u x second_v         C1 C2              C2
    uuw     out_w = sum_u W_uw first_u x second_u         C C_out            C_out
    uuu     out_u = W_u first_u x second_u                C                  C
    ======  ============================================  =================  ============

    Args:
        l_max: highest degree of operands and product.
        n_first: channels C1 of the first operand.
        n_second: channels C2 of the second operand.
        n_out: channels of the product; None where the mode fixes it.
        mode: connection of the channels, above.
        form: ``exact`` or ``cp``.
        rank: terms of the CP form; None for the exact rank.
        paths: ``o3`` (parity is a symmetry) or ``so3``.
        normalization: ``component`` (unit-variance operands give a unit-variance product before the weights) or
            ``none`` (plain sum of Wigner 3j symbols).
        internal_weights: keep one trainable weight for all rows instead of passing weights to ``forward``.
        factors: CP factors to use instead of fitted ones (for example imported ones); implies ``form="cp"``.

    Constants that are exact are rebuilt in float64 on every change of dtype and stay out of the state; approximate CP
    factors are part of the state.
    """

    tensor: Tensor
    output: Tensor
    first: Tensor
    second: Tensor
    weight: Tensor

    __jit_ignored_attributes__ = ("_exact_constants",)  # Python only: torch.jit.script must not copy them

    def __init__(
        self,
        l_max: int,
        n_first: int,
        n_second: int = 1,
        n_out: int | None = None,
        mode: str = "uvu",
        form: str = "exact",
        rank: int | None = None,
        paths: str = "o3",
        normalization: str = "component",
        internal_weights: bool = False,
        factors: CPFactors | None = None,
    ) -> None:
        super().__init__()
        self.mode, self.form = mode, "cp" if factors is not None else form
        self.n_first, self.n_second = n_first, n_second
        self.n_out = n_out if n_out is not None else {"uvv": n_second}.get(mode, n_first)
        self.shape = weight_shape(mode, n_first, n_second, self.n_out)
        self.weight_numel = math.prod(self.shape)
        self.internal_weights = internal_weights
        self._add_constants(l_max, rank, paths, normalization, factors)
        if internal_weights:
            fan_in = self.weight_numel // self.n_out
            self.weight = nn.Parameter(torch.randn(self.weight_numel) / math.sqrt(fan_in))
        else:
            self.register_buffer("weight", torch.zeros(0), persistent=False)

    def _add_constants(
        self, l_max: int, rank: int | None, paths: str, normalization: str, factors: CPFactors | None
    ) -> None:
        """Buffers: ``tensor`` (exact form) or ``output``, ``first``, ``second`` (CP form)."""
        if self.form not in FORMS:
            raise TDNError(f"tensor product form is {self.form!r}{suggest(self.form, FORMS)}; use exact or cp")
        constants = {"tensor": coupling_tensor(l_max, paths, normalization)}
        exact = True
        if self.form == "cp":
            factors = factors if factors is not None else cp_factors(l_max, rank, paths)
            scale = component_scale(l_max, paths).unsqueeze(1) if normalization == "component" else 1.0
            constants = {"output": factors.output * scale, "first": factors.first, "second": factors.second}
            exact = factors.relative_error < EXACT_BELOW
        self._exact_constants = constants if exact else {}
        empty = torch.zeros(0, dtype=torch.float64)
        for name in ("tensor", "output", "first", "second"):
            value = constants.get(name, empty).to(torch.get_default_dtype())
            self.register_buffer(name, value, persistent=not exact and name in constants)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        for name, value in self._exact_constants.items():
            setattr(self, name, value.to(getattr(self, name)))
        return self

    def forward(self, first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
        """Multiply.

        Args:
            first: (n, d, C1).
            second: (n, d, C2).
            weight: (n, weight_numel), or (1, weight_numel) for all rows; None with internal weights.

        Returns:
            (n, d, C_out).
        """
        if weight is None:
            if not self.internal_weights:
                raise ValueError("CPTensorProduct needs weights of shape (n, weight_numel): it has no internal ones")
            weight = self.weight.unsqueeze(0)
        if self.mode == "uvw":
            pairs = self.multiply_pairs(first, second)  # (n, d, C1 C2)
            return pairs @ weight.view(-1, self.n_first * self.n_second, self.n_out)
        if self.mode == "uvu":
            if self.n_second == 1 and self.form == "exact":
                return apply_edge_matrix(edge_matrix(self.tensor, second[:, :, 0]), first, weight)
            mixed = second @ weight.view(-1, self.n_first, self.n_second).transpose(1, 2)  # (n, d, C1)
            return self.multiply(first, mixed)
        if self.mode == "uvv":
            return self.multiply(first @ weight.view(-1, self.n_first, self.n_second), second)
        if self.mode == "uuw":
            return self.multiply(first, second) @ weight.view(-1, self.n_first, self.n_out)
        return self.multiply(first, second) * weight.unsqueeze(1)

    def multiply(self, first: Tensor, second: Tensor) -> Tensor:
        """Channel by channel, no weights: (n, d, C), (n, d, C) -> (n, d, C)."""
        if self.form == "cp":
            return self.output @ ((self.first.t() @ first) * (self.second.t() @ second))
        outer = (first.unsqueeze(2) * second.unsqueeze(1)).flatten(1, 2)  # (n, d d, C)
        return self.tensor.flatten(1, 2) @ outer

    def multiply_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """Every channel with every channel: (n, d, C1), (n, d, C2) -> (n, d, C1 C2), u before v."""
        repeated = first.repeat_interleave(self.n_second, dim=2)
        return self.multiply(repeated, second.repeat(1, 1, self.n_first))

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        terms = f", rank={self.first.size(1)}" if self.form == "cp" else ""
        return f"{self.mode}, {self.n_first} x {self.n_second} -> {self.n_out} channels, {self.form}{terms}"
