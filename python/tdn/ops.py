"""The compiled operators (``libtdn_ops``), loaded into torch once; deployed archives call them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

import tdn
from tdn.errors import TDNError

LIBRARY = "libtdn_ops.so"


@cache
def load_library() -> None:
    """Register ``torch.ops.tdn``.

    Raises:
        TDNError: the package was not built, only its sources are on the path.
    """
    for folder in tdn.__path__:
        path = Path(folder) / LIBRARY
        if path.is_file():
            torch.ops.load_library(str(path))
            return
    raise TDNError(f"{LIBRARY} is not beside the package in {tdn.__path__[0]!r}; build it with 'pip install .'")
