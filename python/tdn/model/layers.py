"""Node-wise building blocks on features (n, d, C): path-shared linear, norms, gate, feed-forward.

Path sharing (paper, Sec. 3.2): one C_in x C_out matrix serves all degrees, so a linear layer is one matrix product.
The order of operations follows the published code; where a gate or a head reads only the scalar row, only that row is
computed, which changes no result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: 1 / sqrt(E[f(x)^2]) for x ~ N(0, 1): lets activations keep unit second moment (md setting).
SILU_SCALE = 1.6765324703310907
SIGMOID_SCALE = 1.8467055342154763


class DoublePrecision(nn.Module):
    """A module whose buffers move with it to another device but stay float64."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DoublePrecision:
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to(device=fn(buffer).device)
        return self


class SharedLinear(nn.Module):
    """One matrix for every component; only the scalar row has a bias (no other would be equivariant)."""

    def __init__(self, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, n_in) -> (n, d, n_out)."""
        out = F.linear(x, self.weight)
        bias = self.bias
        if bias is not None:
            out = out + F.pad(bias.unsqueeze(0), [0, 0, 0, x.size(1) - 1])
        return out


class EquivariantNorm(nn.Module):
    """LayerNorm per degree on features (n, d, C).

    Scalars: centered over channels, divided by sqrt(mean square + 1e-5). Degrees l >= 1: divided by
    sqrt(mean square + eps) with the mean over components and channels. The published eps of 1e-5 multiplies vanishing
    features by 316 at every norm and makes forces explode near symmetric environments; "smooth" uses eps = 1, the
    features' natural size. "none" does not divide: it has only weights and the bias, which still distinguish the
    degrees before linear maps that they share.
    """

    def __init__(self, l_max: int, n_channels: int, kind: str) -> None:
        super().__init__()
        self.l_max = l_max
        self.divides = kind != "none"
        self.eps = 1e-5 if kind == "layer" else 1.0
        self.weight = nn.Parameter(torch.ones(l_max + 1, n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, C) -> (n, d, C)."""
        n_channels = x.size(2)
        if self.divides:
            blocks = [F.layer_norm(x[:, :1], [n_channels], self.weight[0], self.bias, 1e-5)]
        else:
            blocks = [x[:, :1] * self.weight[0] + self.bias]
        for degree in range(1, self.l_max + 1):
            block = x[:, degree * degree : (degree + 1) * (degree + 1)]
            if self.divides:
                mean_square = (block * block).mean(dim=[1, 2], keepdim=True)
                block = block * torch.rsqrt(mean_square + self.eps)
            blocks.append(block * self.weight[degree])
        return torch.cat(blocks, dim=1)


class Gate(nn.Module):
    """SiLU on the scalar row, all other rows times the sigmoid of a gate."""

    def __init__(self, unit_moment: bool) -> None:
        super().__init__()
        self.silu_scale = SILU_SCALE if unit_moment else 1.0
        self.sigmoid_scale = SIGMOID_SCALE if unit_moment else 1.0

    def forward(self, values: Tensor, gates: Tensor) -> Tensor:
        """Values (n, d, C) and gates (n, C) -> (n, d, C)."""
        scalar = self.silu_scale * F.silu(values[:, :1])
        rest = values[:, 1:] * (self.sigmoid_scale * torch.sigmoid(gates)).unsqueeze(1)
        return torch.cat([scalar, rest], dim=1)


class FeedForward(nn.Module):
    """Linear C -> 2 C, gate, linear C -> C; the gate half is computed only on the scalar row."""

    def __init__(self, n_channels: int, unit_moment: bool) -> None:
        super().__init__()
        self.values = SharedLinear(n_channels, n_channels)
        self.gates = nn.Linear(n_channels, n_channels)
        nn.init.zeros_(self.gates.bias)
        self.gate = Gate(unit_moment)
        self.out = SharedLinear(n_channels, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, C) -> (n, d, C)."""
        return self.out(self.gate(self.values(x), self.gates(x[:, 0])))
