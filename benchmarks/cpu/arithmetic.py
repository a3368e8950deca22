"""Counts the arithmetic that torch really executes, whatever the formulas say."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

#: Multiplications for each element of the result.
ELEMENTWISE = {torch.ops.aten.mul: 1, torch.ops.aten.linalg_cross: 2}


class Multiplications(TorchDispatchMode):
    """While active, counts multiplications of matrix products (each with an addition) and of elementwise products.

    Backward passes are included. A sparse matrix counts by its stored entries.
    """

    def __init__(self) -> None:
        super().__init__()
        self.matrix = 0
        self.elementwise = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        out = function(*arguments, **(options or {}))
        operator = function.overloadpacket
        if arguments and getattr(arguments[0], "layout", None) is torch.sparse_csr:
            self.matrix += arguments[0].values().numel() * out.size(1) if operator is torch.ops.aten.mm else 0
        elif operator in flop_registry:
            self.matrix += flop_registry[operator](*arguments, **(options or {}), out_val=out) // 2
        elif operator in ELEMENTWISE:
            self.elementwise += ELEMENTWISE[operator] * out.numel()
        return out
