"""Reading and writing model files: nothing unpickled but tensors and plain types, nothing overwritten silently."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tdn.errors import TDNError


def read_tensors(path: str | Path, expected: str) -> dict[Any, Any]:
    """Dictionary of tensors and plain types in a file of ``torch.save``.

    Args:
        path: the file.
        expected: what to give instead of a file that is none, for the error's sentence.

    Raises:
        TDNError: the file is missing, unreadable or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"checkpoint '{path}' does not exist; give {expected}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch.load raises many kinds for a file that is not a checkpoint
        reason = (str(problem) or type(problem).__name__).splitlines()[0].split(". ")[0]
        raise TDNError(f"'{path}' cannot be read as a checkpoint ({reason}); give {expected}") from None
    if not isinstance(content, dict):
        raise TDNError(f"'{path}' holds a {type(content).__name__}, not a dictionary of tensors; give {expected}")
    return content


def check_target(path: str | Path, overwrite: bool) -> Path:
    """Refuse to overwrite a file silently, or to work long for a folder that is not there."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise TDNError(f"'{path}' exists already; choose another name or allow overwriting it (--overwrite)")
    if not path.parent.is_dir():
        raise TDNError(f"folder '{path.parent}' of the file to write does not exist; create it first")
    return path


def write_atomically(content_writer: Callable[[str], Any], path: Path) -> None:
    """Call ``content_writer(temporary path)`` and put the result in place, so that a stop leaves the old file whole."""
    temporary = path.with_suffix(path.suffix + ".part")
    content_writer(str(temporary))
    os.replace(temporary, path)
