"""Matrix products in lower precision: TF32 on GPUs, or bfloat16, with weights and everything else in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class BFloat16Products(TorchFunctionMode):
    """Linear maps with bfloat16 inputs and float32 results, also in their derivatives; everything else is unchanged.

    Maps to one number (the heads of energies and forces) are not changed: they cost nothing, and energies would have
    only three digits.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace ``linear``."""
        if func is not F.linear:
            return func(*args, **(kwargs or {}))
        return self._linear(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if x.dtype != torch.float32 or weight.size(0) == 1:
            return torch._C._nn.linear(x, weight, bias)
        out = torch._C._nn.linear(x.to(torch.bfloat16), weight.to(torch.bfloat16)).to(torch.float32)
        return out if bias is None else out + bias


@contextmanager
def products_in(dtype: str) -> Iterator[None]:
    """Compute matrix products within this block in the precision of ``training.dtype``."""
    if dtype == "bf16":
        with BFloat16Products():
            yield
    elif dtype == "tf32":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
    else:
        yield
