"""What the energies of a model mean, and which forces it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tdn.errors import TDNError

#: Kinds of forces a caller may ask for.
REQUESTS = ("gradient", "direct", "both")


def free_energies(summary: dict[str, Any], elements: Sequence[str], convention: str) -> tuple[float, ...]:
    """Reference energies (eV) that an energy per atom was trained above: they have no place in its weights."""
    known = summary.get("references") if convention == "per_atom" else None
    return tuple(float(known[element]) for element in elements) if known else ()


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    """Refuse a kind of forces that there is not, or that the model does not have."""
    if kind not in REQUESTS:
        raise TDNError(f"forces is {kind!r}; use one of {', '.join(REQUESTS)}")
    if kind != "gradient" and "direct" not in kinds:
        raise TDNError(f"forces is {kind!r} but the model has no head for direct forces; use forces='gradient'")
