"""Conventions of a model: meaning of its energies, kinds of forces, precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tdn.errors import TDNError

#: Kinds of forces that a caller may request.
REQUESTS = ("gradient", "direct", "both")


def free_energies(summary: dict[str, Any], elements: Sequence[str], convention: str) -> tuple[float, ...]:
    """Reference energies (eV) above which an energy per atom was trained; the weights do not contain them."""
    known = summary.get("references") if convention == "per_atom" else None
    return tuple(float(known[element]) for element in elements) if known else ()


def precision(dtype: Any) -> str:
    """``float32`` or ``float64``, of a text or of a torch dtype."""
    name = str(dtype).removeprefix("torch.")
    if name not in ("float32", "float64"):
        raise TDNError(f"dtype is {dtype!r}; use 'float32' or 'float64'")
    return name


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    """Refuse an unknown kind of forces, or one that the model does not have."""
    if kind not in REQUESTS:
        raise TDNError(f"forces is {kind!r}; use one of {', '.join(REQUESTS)}")
    if kind != "gradient" and "direct" not in kinds:
        raise TDNError(f"forces is {kind!r} but the model has no head for direct forces; use forces='gradient'")
