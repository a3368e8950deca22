"""What the settings of every architecture share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError, suggest

Kind = TypeVar("Kind", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """What defines a model besides its weights: the part that data, trainer and calculator look at."""

    #: value of ``model.architecture``; not an option of its own
    architecture = ""

    #: chemical symbols; the position in the list is the species index
    elements: tuple[str, ...]
    #: angstrom; neighbors farther away are not seen
    cutoff: float = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(self.elements))
        unknown = [e for e in self.elements if e not in ATOMIC_NUMBERS]
        if unknown or not self.elements:
            raise TDNError(f"model option elements holds {unknown or 'nothing'}; list chemical symbols such as H, O")
        if len(set(self.elements)) != len(self.elements):
            raise TDNError(f"model option elements names an element twice: {' '.join(self.elements)}; list each once")
        self._check_positive("cutoff")

    def _check_positive(self, *names: str) -> None:
        for name in names:
            if not 0 < float(getattr(self, name)) < math.inf:
                raise TDNError(f"model option {name} is {getattr(self, name)!r}; give a positive finite number")

    def _check_whole(self, lowest: Mapping[str, int]) -> None:
        for name, least in lowest.items():
            if not is_whole(getattr(self, name), least):
                raise TDNError(
                    f"model option {name} is {getattr(self, name)!r}; give a whole number of at least {least}"
                )

    @classmethod
    def from_dict(cls: type[Kind], options: Mapping[str, Any]) -> Kind:
        """Build from plain types (YAML, checkpoint, label); unknown names are refused with a suggestion."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise TDNError(f"unknown option '{name}' in model{suggest(name, known)}; known: {', '.join(known)}")
        if "elements" not in options:
            raise TDNError("model option elements is missing; list the chemical symbols the model knows")
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only (str, int, float, bool, list, None)."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def n_elements(self) -> int:
        """Number of elements the model knows."""
        return len(self.elements)

    @property
    def energy_convention(self) -> str:
        """``extensive`` (eV per structure) or ``per_atom`` (the published model's non-extensive target)."""
        return "extensive"

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        return ("gradient",)

    @property
    def random_steps(self) -> bool:
        """Whether a training step draws random numbers."""
        return False


def is_whole(value: object, least: int) -> bool:
    """Whether an option is a whole number, at least ``least``; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
