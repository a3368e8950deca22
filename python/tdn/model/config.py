"""Settings of a TDN model: one frozen dataclass that goes into YAML files, checkpoints and archives alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tdn.algebra.clebsch_gordan import PATHS, admissible_paths
from tdn.errors import TDNError
from tdn.model.settings import Settings, is_whole

SETTINGS = ("md", "paper")
NORMS = ("smooth", "layer", "none")
ATTENTIONS = ("softmax", "sigmoid")
RADIAL_NORMS = ("layer", "none")
PATH_WEIGHTS = ("shared", "separate")
PAIR_EMBEDDINGS = ("auto", "pair", "sum")
#: Up to this many elements "auto" learns one vector for each ordered pair; above, U[Z_i] + V[Z_j].
MAX_PAIR_ELEMENTS = 8


@dataclass(frozen=True)
class ModelConfig(Settings):
    """What defines a TDN model besides its weights.

    The ``md`` setting (default) is extensive, smooth and parity-symmetric; ``paper`` is the published model
    (arXiv 2507.01131 and its code), see :meth:`paper`.
    """

    architecture = "tdn"

    #: "md" or "paper"
    setting: str = "md"
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
    #: norm of the hidden layers of radial networks: "layer" (published) or "none"
    radial_norm: str = "layer"
    #: power p of the polynomial envelope (md); energy has two continuous derivatives at the cutoff for p >= 2
    envelope_power: int = 6
    #: Clebsch-Gordan paths: "o3" (parity is a symmetry) or "so3"
    paths: str = "o3"
    #: rank of the CP-decomposed product; None means the exact product
    cp_rank: int | None = None
    #: radial weights of an edge and channel: one for all paths ("shared", the paper's path sharing) or one for each
    #: ("separate", as in networks built on e3nn)
    path_weights: str = "shared"
    #: norm of the features: LayerNorm of scalars, and l >= 1 divided by sqrt(mean square + 1) ("smooth") or by
    #: sqrt(mean square + 1e-5) ("layer", published); or weights and biases alone ("none")
    norm: str = "none"
    #: weights of a center's edges: "softmax" (published), in which edges compete, or "sigmoid", each edge alone (md)
    attention: str = "sigmoid"
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
    #: fraction of attention weights that a training step leaves out at random; predictions never do
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "radial_hidden", tuple(self.radial_hidden))
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices = {
            "setting": SETTINGS,
            "paths": PATHS,
            "path_weights": PATH_WEIGHTS,
            "norm": NORMS,
            "attention": ATTENTIONS,
            "radial_norm": RADIAL_NORMS,
            "pair_embedding": PAIR_EMBEDDINGS,
            "forces": ("gradient", "direct"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise TDNError(f"model option {name} is {value!r}; use one of {', '.join(allowed)}")
        if self.attention == "sigmoid" and not self.smooth:
            raise TDNError(
                "model option attention is 'sigmoid' but setting is 'paper', whose attention is a softmax; set "
                "attention: softmax, or setting: md"
            )
        if self.forces == "direct" and not self.direct_forces:
            raise TDNError("model option forces is 'direct' but direct_forces is false; set direct_forces: true")

    def _check_numbers(self) -> None:
        self._check_whole(
            {"n_channels": 1, "n_layers": 1, "n_heads": 1, "n_radial": 1, "envelope_power": 2, "l_max": 0}
        )
        if self.cp_rank is not None and not is_whole(self.cp_rank, 1):
            raise TDNError(f"model option cp_rank is {self.cp_rank!r}; give a whole number of at least 1 or null")
        if self.cp_rank is not None and self.path_weights == "separate":
            raise TDNError(
                "model option path_weights is 'separate' but cp_rank is set: CP factors join all paths; set "
                "path_weights: shared, or cp_rank: null"
            )
        self._check_positive("avg_degree", "avg_n_atoms")
        if not 0.0 <= float(self.attention_dropout) < 1.0:
            raise TDNError(
                f"model option attention_dropout is {self.attention_dropout!r}; give a fraction from 0 to below 1"
            )
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
            "attention": "softmax",
            "avg_degree": 18.6,
            "avg_n_atoms": 36.6,
            "direct_forces": True,
            "forces": "direct",
            "attention_dropout": 0.2,
        }
        return cls(elements=tuple(elements), **(published | changes))

    @property
    def n_path_weights(self) -> int:
        """Radial weights of an edge and channel."""
        return 1 if self.path_weights == "shared" else len(admissible_paths(self.l_max, self.paths))

    @property
    def n_embedding_weights(self) -> int:
        """Radial weights of an edge and channel in the degree embedding: a path for each degree of the result."""
        return 1 if self.path_weights == "shared" else self.l_max + 1

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

    @property
    def random_steps(self) -> bool:
        """Whether a training step draws random numbers."""
        return self.attention_dropout > 0
