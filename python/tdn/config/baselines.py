"""Settings of the baselines; layers and channels are those of Table 6 of the TDN paper (arXiv 2507.01131)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic.dataclasses import dataclass

from tdn.config.option import option
from tdn.config.settings import Settings
from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError

#: torch_geometric's table of elements ends here.
LAST_SCHNET_ELEMENT = 99


@dataclass(frozen=True)
class BaselineConfig(Settings):
    """Options of all baselines, which have extensive energies and forces that are minus their gradient."""

    cutoff: Annotated[
        float,
        option(
            "neighbors farther away are not seen; the cutoff of TDN's own runs on PubChemQCR, since Table 6 does not "
            "give the baselines'",
            unit="angstrom",
            cure="give a positive finite number",
            gt=0,
            allow_inf_nan=False,
        ),
    ] = 4.5
    n_channels: Annotated[int, option("features of an atom (Table 6 of the TDN paper)", ge=2)] = 128
    n_layers: Annotated[int, option("interaction blocks (Table 6 of the TDN paper)", ge=1)] = 4


@dataclass(frozen=True)
class SchNetConfig(BaselineConfig):
    """SchNet (arXiv 1706.08566) as implemented in torch_geometric."""

    architecture: ClassVar[str] = "schnet"

    n_radial: Annotated[
        int, option("Gaussians of the distance, evenly spaced up to the cutoff (torch_geometric's default)", ge=2)
    ] = 50
    n_filters: Annotated[int, option("width of the filters", ge=1)] = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        heavy = [element for element in self.elements if ATOMIC_NUMBERS[element] > LAST_SCHNET_ELEMENT]
        if heavy:
            raise TDNError(
                f"model.elements holds {heavy[0]}, but schnet knows elements up to atomic number "
                f"{LAST_SCHNET_ELEMENT}; use model.architecture painn or tdn"
            )


@dataclass(frozen=True)
class PaiNNConfig(BaselineConfig):
    """PaiNN (arXiv 2102.03150)."""

    architecture: ClassVar[str] = "painn"

    n_radial: Annotated[int, option("Bessel functions of the distance (the PaiNN paper's number)", ge=1)] = 20
