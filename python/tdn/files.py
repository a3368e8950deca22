"""Reading and writing model files: only tensors and plain types are unpickled, nothing is overwritten silently."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tdn.errors import TDNError, shown

#: numpy scalars, which a training loop may store beside its tensors (a loss): loading them runs no code from the file.
_SCALAR: Any = np.float64(0.0).__reduce__()[0]
NUMPY_SCALARS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),  # written with numpy 1
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64")),
]


def read_tensors(path: str | Path, expected: str) -> dict[Any, Any]:
    """Dictionary of tensors and plain types in a file of ``torch.save``.

    Args:
        path: the file.
        expected: what to give instead of a wrong file, for the error's sentence.

    Raises:
        TDNError: the file is missing, unreadable or holds something else.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise TDNError(f"checkpoint '{path}' does not exist; give {expected}")
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch.load raises many kinds of errors for a file that is not a checkpoint
        raise TDNError(f"'{path}' cannot be read as a checkpoint ({reason_of(problem)}); give {expected}") from None
    if not isinstance(content, dict):
        raise TDNError(f"'{path}' holds a {type(content).__name__}, not a dictionary of tensors; give {expected}")
    return content


def reason_of(problem: Exception) -> str:
    """The error of torch.load in a few words, with the name of a Python object that it refuses to unpickle."""
    refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(problem))
    if refused:
        return f"it holds a Python object {shown(refused[1])}, not only tensors and plain types"
    return first_line(problem).split(". ")[0]


def first_line(problem: Exception) -> str:
    """First line of a foreign message, safe for a terminal, or the type of the exception if it has none."""
    lines = str(problem).strip().splitlines()
    return shown(lines[0]) if lines else type(problem).__name__


def check_target(path: str | Path, overwrite: bool) -> Path:
    """Refuse to overwrite a file silently, or to start long work for a folder that does not exist."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise TDNError(f"'{path}' already exists; choose another name or allow overwriting it (--overwrite)")
    if not path.parent.is_dir():
        raise TDNError(f"folder '{path.parent}' of the file to write does not exist; create it first")
    return path


def write_atomically(content_writer: Callable[[str], Any], path: Path) -> None:
    """Call ``content_writer(temporary path)``, then put the result in place; interrupted, it keeps the old file."""
    temporary = path.with_suffix(path.suffix + ".part")
    content_writer(str(temporary))
    os.replace(temporary, path)
