"""Settings of the baselines; layers and channels are those of Table 6 of the TDN paper (arXiv 2507.01131)."""

from __future__ import annotations

from dataclasses import dataclass

from tdn.elements import ATOMIC_NUMBERS
from tdn.errors import TDNError
from tdn.model.settings import Settings

#: torch_geometric's table of elements ends here.
LAST_SCHNET_ELEMENT = 99


@dataclass(frozen=True)
class BaselineConfig(Settings):
    """What all baselines have: extensive energies and forces that are minus their gradient."""

    #: angstrom, as of TDN's own runs on PubChemQCR; Table 6 does not name the baselines'
    cutoff: float = 4.5
    #: features of an atom
    n_channels: int = 128
    #: interaction blocks
    n_layers: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole({"n_channels": 2, "n_layers": 1})


@dataclass(frozen=True)
class SchNetConfig(BaselineConfig):
    """SchNet (arXiv 1706.08566) as torch_geometric has it."""

    architecture = "schnet"

    #: Gaussians of the distance, evenly spaced up to the cutoff; torch_geometric's default
    n_radial: int = 50
    #: width of the filters
    n_filters: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole({"n_radial": 2, "n_filters": 1})
        heavy = [element for element in self.elements if ATOMIC_NUMBERS[element] > LAST_SCHNET_ELEMENT]
        if heavy:
            raise TDNError(
                f"model option elements holds {heavy[0]}, but schnet knows elements up to atomic number "
                f"{LAST_SCHNET_ELEMENT}; use model.architecture painn or tdn"
            )


@dataclass(frozen=True)
class PaiNNConfig(BaselineConfig):
    """PaiNN (arXiv 2102.03150)."""

    architecture = "painn"

    #: Bessel functions of the distance; the PaiNN paper's number
    n_radial: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole({"n_radial": 1})
