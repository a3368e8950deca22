"""Settings of a TDN model: one frozen dataclass that goes into YAML files, checkpoints and archives alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError, suggest
from tdn.model.clebsch_gordan import PATHS

SETTINGS = ("md", "paper")
NORMS = ("smooth", "layer")
PAIR_EMBEDDINGS = ("auto", "pair", "sum")
#: Up to this many elements "auto" learns one vector for each ordered pair; above, U[Z_i] + V[Z_j].
MAX_PAIR_ELEMENTS = 8


@dataclass(frozen=True)
class ModelConfig:
    """What defines a TDN model besides its weights.

    The ``md`` setting (default) is extensive, smooth and parity-symmetric; ``paper`` is the published model
    (arXiv 2507.01131 and its code), see :meth:`paper`.
    """

    #: chemical symbols; the position in the list is the species index
    elements: tuple[str, ...]
    #: "md" or "paper"
    setting: str = "md"
    #: angstrom; neighbors farther away are not seen
    cutoff: float = 5.0
    #: highest degree of the features, 0 to 4
    l_max: int = 1
    #: channels of every degree
    n_channels: int = 64
    #: attention + feed-forward layers
    n_layers: int = 3
    #: attention heads; must divide n_channels
    n_heads: int = 4
    #: Bessel functions (md) or trained Gaussians (paper)
    n_radial: int = 8
    #: widths of the two hidden layers of every radial network
    radial_hidden: tuple[int, int] = (32, 32)
    #: power p of the polynomial envelope (md); energy has two continuous derivatives at the cutoff for p >= 2
    envelope_power: int = 6
    #: Clebsch-Gordan paths: "o3" (parity is a symmetry) or "so3"
    paths: str = "o3"
    #: rank of the CP-decomposed product; None means the exact product
    cp_rank: int | None = None
    #: norm of the l >= 1 features: "smooth" (divide by sqrt(mean square + 1)) or "layer" (published, eps 1e-5)
    norm: str = "smooth"
    #: how radial networks see the two elements: "pair", "sum" or "auto" (md)
    pair_embedding: str = "auto"
    #: mean number of neighbors in the training data; scales the degree embedding
    avg_degree: float = 20.0
    #: mean number of atoms of the training data (paper: energy = sum of atoms / sqrt(avg_n_atoms))
    avg_n_atoms: float = 1.0
    #: add a head that predicts forces directly (not a gradient)
    direct_forces: bool = False
    #: forces that are used unless asked otherwise: "gradient" or "direct"
    forces: str = "gradient"

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(self.elements))
        object.__setattr__(self, "radial_hidden", tuple(self.radial_hidden))
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices = {
            "setting": SETTINGS,
            "paths": PATHS,
            "norm": NORMS,
            "pair_embedding": PAIR_EMBEDDINGS,
            "forces": ("gradient", "direct"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise TDNError(f"model option {name} is {value!r}; use one of {', '.join(allowed)}")
        unknown = [e for e in self.elements if e not in ATOMIC_NUMBERS]
        if unknown or not self.elements:
            raise TDNError(f"model option elements holds {unknown or 'nothing'}; list chemical symbols such as H, O")
        if len(set(self.elements)) != len(self.elements):
            raise TDNError(f"model option elements names an element twice: {' '.join(self.elements)}; list each once")
        if self.forces == "direct" and not self.direct_forces:
            raise TDNError("model option forces is 'direct' but direct_forces is false; set direct_forces: true")

    def _check_numbers(self) -> None:
        lowest = {"n_channels": 1, "n_layers": 1, "n_heads": 1, "n_radial": 1, "envelope_power": 2, "l_max": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if not is_whole(value, least):
                raise TDNError(f"model option {name} is {value!r}; give a whole number of at least {least}")
        if self.cp_rank is not None and not is_whole(self.cp_rank, 1):
            raise TDNError(f"model option cp_rank is {self.cp_rank!r}; give a whole number of at least 1 or null")
        for name in ("cutoff", "avg_degree", "avg_n_atoms"):
            if not 0 < float(getattr(self, name)) < math.inf:
                raise TDNError(f"model option {name} is {getattr(self, name)!r}; give a positive finite number")
        if self.l_max > 4:
            raise TDNError(f"model option l_max is {self.l_max}; degrees up to 4 are supported")
        if self.n_channels % self.n_heads:
            raise TDNError(f"n_heads = {self.n_heads} does not divide n_channels = {self.n_channels}; choose a divisor")
        if len(self.radial_hidden) != 2 or not all(is_whole(width, 1) for width in self.radial_hidden):
            raise TDNError(
                f"model option radial_hidden is {self.radial_hidden}; give two whole numbers, for example [32, 32]"
            )
        if self.direct_forces and self.l_max == 0:
            raise TDNError(
                "model option l_max is 0 but direct_forces needs vectors; set l_max: 1 or direct_forces: false"
            )

    @classmethod
    def paper(cls, elements: tuple[str, ...], **changes: Any) -> ModelConfig:
        """Published settings: class defaults of the paper's code for PubChemQCR-S (36.6 atoms, degree 18.6)."""
        published: dict[str, Any] = {
            "setting": "paper",
            "cutoff": 4.5,
            "n_channels": 128,
            "n_layers": 4,
            "n_radial": 128,
            "radial_hidden": (64, 64),
            "paths": "so3",
            "norm": "layer",
            "avg_degree": 18.6,
            "avg_n_atoms": 36.6,
            "direct_forces": True,
            "forces": "direct",
        }
        return cls(elements=tuple(elements), **(published | changes))

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> ModelConfig:
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
    def n_components(self) -> int:
        """d = (l_max + 1)^2, components of one channel."""
        return (self.l_max + 1) ** 2

    @property
    def smooth(self) -> bool:
        """True if the energy is smooth when a pair crosses the cutoff."""
        return self.setting == "md"

    @property
    def energy_convention(self) -> str:
        """``extensive`` (eV per structure) or ``per_atom`` (the published model's non-extensive target)."""
        return "extensive" if self.setting == "md" else "per_atom"

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        if not self.direct_forces:
            return ("gradient",)
        return ("direct", "gradient") if self.forces == "direct" else ("gradient", "direct")


def is_whole(value: object, least: int) -> bool:
    """Whether an option is a whole number, at least ``least``; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
