"""What the settings of every architecture share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, ClassVar

from pydantic.dataclasses import dataclass

from tdn.config.option import Options, option
from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError


@dataclass(frozen=True)
class Settings(Options):
    """What data, trainer and calculator need to know of a model, whatever its architecture."""

    section: ClassVar[str] = "model"
    architecture: ClassVar[str] = ""  #: value of ``model.architecture``; not an option

    elements: Annotated[
        tuple[str, ...],
        option(
            "chemical symbols; the position in the list is the species index",
            cure="list chemical symbols such as H, O",
            shown_default="from the data",
        ),
    ]
    cutoff: Annotated[
        float,
        option(
            "neighbors farther away are not seen",
            unit="angstrom",
            cure="give a positive finite number",
            gt=0,
            allow_inf_nan=False,
        ),
    ] = 5.0

    def __post_init__(self) -> None:
        unknown = [e for e in self.elements if e not in ATOMIC_NUMBERS]
        if unknown or not self.elements:
            raise TDNError(f"model.elements holds {unknown or 'nothing'}; list chemical symbols such as H, O")
        if len(set(self.elements)) != len(self.elements):
            raise TDNError(f"model.elements names an element twice: {' '.join(self.elements)}; list each once")

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
        """Kinds of forces that the model has, the default first."""
        return ("gradient",)

    @property
    def random_steps(self) -> bool:
        """Whether a training step draws random numbers."""
        return False
