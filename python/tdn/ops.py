"""The compiled operators (``libtdn_ops``), loaded into torch once; TorchScript models call them."""

from __future__ import annotations

from functools import cache


@cache
def load_library() -> None:
    """Register ``torch.ops.tdn``, after compiling them if there are none for this torch.

    Raises:
        TDNError: the package was not built, or the operators cannot be compiled.
    """
    import torch

    from tdn.torch_libraries import OPERATORS, offer_script_engine, provide

    torch.ops.load_library(str(provide() / OPERATORS))
    offer_script_engine()
