"""Settings of a TDN model, which go into YAML files, checkpoints and archives alike."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tdn.config.option import option
from tdn.config.settings import Settings
from tdn.errors import TDNError

#: Up to this many elements "auto" learns one vector for each ordered pair; above, U[Z_i] + V[Z_j].
MAX_PAIR_ELEMENTS = 8
Width = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Everything that defines a TDN model besides its weights.

    The ``md`` setting (default) is extensive, smooth and parity-symmetric; ``paper`` is the published model
    (arXiv 2507.01131 and its code), see :meth:`paper`.
    """

    architecture: ClassVar[str] = "tdn"

    setting: Annotated[
        Literal["md", "paper"],
        option("`md`: extensive, smooth, for dynamics; `paper`: as published, see below"),
    ] = "md"
    l_max: Annotated[
        int, option("highest degree of the features, 0 to 4", cure="degrees up to 4 are supported", ge=0, le=4)
    ] = 1
    n_channels: Annotated[int, option("channels of every degree", ge=1)] = 64
    n_layers: Annotated[int, option("layers of attention and feed-forward network", ge=1)] = 3
    n_heads: Annotated[int, option("attention heads, a divisor of `n_channels`", ge=1)] = 4
    n_radial: Annotated[int, option("Bessel functions (`md`) or trained Gaussians (`paper`)", ge=1)] = 8
    radial_hidden: Annotated[
        tuple[Width, Width],
        option(
            "widths of the two hidden layers of every radial network",
            cure="give two whole numbers, for example [32, 32]",
        ),
    ] = (32, 32)
    radial_norm: Annotated[
        Literal["layer", "none"],
        option(
            "`layer`: LayerNorm in the hidden layers of radial networks, as published; `none`: learns faster, "
            "generalizes worse in long runs"
        ),
    ] = "layer"
    envelope_power: Annotated[
        int,
        option(
            "power of the polynomial envelope (`md`); from 2 on the energy has two continuous derivatives at the "
            "cutoff",
            ge=2,
        ),
    ] = 6
    paths: Annotated[
        Literal["o3", "so3"],
        option("Clebsch-Gordan paths. `o3`: mirror images have the same energy; `so3`: as published"),
    ] = "o3"
    cp_rank: Annotated[
        Width | None,
        option(
            "rank of the CP-decomposed product; null is the exact product",
            cure="give a whole number of at least 1 or null",
        ),
    ] = None
    path_weights: Annotated[
        Literal["shared", "separate"],
        option(
            "`shared`: one radial weight per edge and channel for all paths, the paper's path sharing; `separate`: one "
            "for each path, as in networks built on e3nn, which is more accurate and costs more (see "
            "benchmarks/accuracy); the fused engine runs it for `o3` and l_max up to 2"
        ),
    ] = "shared"
    norm: Annotated[
        Literal["smooth", "layer", "none"],
        option(
            "norm of features. `none`: only weights and biases; `smooth`: LayerNorm of scalars, and l >= 1 divided by "
            "sqrt(mean square + 1); `layer`: as published, divided by sqrt(mean square + 1e-5), whose forces explode "
            "near symmetric environments"
        ),
    ] = "none"
    attention: Annotated[
        Literal["softmax", "sigmoid"],
        option(
            "`sigmoid`: each edge is weighted independently (`md`); `softmax`: the edges of a center compete, as "
            "published. Sigmoids without norms are more accurate (benchmarks/accuracy)"
        ),
    ] = "sigmoid"
    pair_embedding: Annotated[
        Literal["auto", "pair", "sum"],
        option(
            "how radial networks see two elements: `pair`, `sum`, or `auto`, which is `pair` up to 8 elements (`md`)"
        ),
    ] = "auto"
    pair_term: Annotated[
        Literal["none", "zbl"],
        option(
            "energy of pairs that is added to the network's (`md`): `none`, or `zbl`, the repulsion of nuclei by "
            "Ziegler, Biersack and Littmark, which ends smoothly at the sum of the covalent radii"
        ),
    ] = "none"
    avg_degree: Annotated[
        float,
        option(
            "mean number of neighbors in the training data; scales the degree embedding",
            cure="give a positive finite number",
            shown_default="from the data",
            gt=0,
            allow_inf_nan=False,
        ),
    ] = 20.0
    avg_n_atoms: Annotated[
        float,
        option(
            "mean number of atoms in the training data (`paper`: energy = sum of atoms / sqrt(avg_n_atoms))",
            cure="give a positive finite number",
            shown_default="from the data",
            gt=0,
            allow_inf_nan=False,
        ),
    ] = 1.0
    direct_forces: Annotated[bool, option("add a head that predicts forces directly, not as a gradient")] = False
    forces: Annotated[
        Literal["gradient", "direct"], option("forces that are used by default: `gradient` or `direct`")
    ] = "gradient"
    attention_dropout: Annotated[
        float,
        option(
            "fraction of attention weights that a training step drops at random, 0.2 in `paper`; predictions drop none",
            cure="give a fraction from 0 to below 1",
            ge=0,
            lt=1,
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attention == "sigmoid" and not self.smooth:
            raise TDNError(
                "model.attention is 'sigmoid' but setting is 'paper', whose attention is a softmax; set "
                "attention: softmax, or setting: md"
            )
        if self.pair_term != "none" and (self.direct_forces or not self.smooth):
            cause = "direct_forces is true: a direct head knows no pairs" if self.smooth else "setting is 'paper'"
            raise TDNError(
                f"model.pair_term is '{self.pair_term}' but {cause}; set pair_term: none, or use gradient forces of "
                "setting: md"
            )
        if self.forces == "direct" and not self.direct_forces:
            raise TDNError("model.forces is 'direct' but direct_forces is false; set direct_forces: true")
        if self.cp_rank is not None and self.path_weights == "separate":
            raise TDNError(
                "model.path_weights is 'separate' but cp_rank is set: CP factors join all paths; set "
                "path_weights: shared, or cp_rank: null"
            )
        if self.n_channels % self.n_heads:
            raise TDNError(f"n_heads = {self.n_heads} does not divide n_channels = {self.n_channels}; choose a divisor")
        if self.direct_forces and self.l_max == 0:
            raise TDNError("model.l_max is 0 but direct_forces needs vectors; set l_max: 1 or direct_forces: false")

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
