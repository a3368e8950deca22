"""Pair terms: energies of pairs that are added to the network's energy; the network learns the rest.

Universal repulsion: Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985); constants as in
LAMMPS's ``pair_style zbl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tdn.config.model import ModelConfig
from tdn.elements import ATOMIC_NUMBERS, COVALENT_RADII
from tdn.model.layers import DoublePrecision
from tdn.model.radial import polynomial_envelope

#: e^2 / (4 pi epsilon_0), eV angstrom.
COULOMB = 14.399645
#: Screening length: LENGTH / (Z_i^POWER + Z_j^POWER), angstrom.
LENGTH, POWER = 0.46850, 0.23
#: Screening function: sum of FACTORS exp(-RATES r / length).
FACTORS = (0.18175, 0.50986, 0.28022, 0.02817)
RATES = (3.19980, 0.94229, 0.40290, 0.20162)
#: Power of the envelope that ends the repulsion of a pair.
ENVELOPE_POWER = 6


class ZBL(DoublePrecision):
    """Screened repulsion of nuclei, which ends smoothly where the covalent radii touch (or at the model's cutoff).

    The energy of a pair is k Z_i Z_j / r phi(r / a) u(r / (R_i + R_j)); each of its two atoms gets half of it.
    """

    name = "zbl"

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class that are text
        charge: Tensor
        length: Tensor
        reach: Tensor
        factors: Tensor
        rates: Tensor

    def __init__(self, elements: Sequence[str], cutoff: float) -> None:
        super().__init__()
        self.envelope_power = ENVELOPE_POWER
        numbers = [ATOMIC_NUMBERS[element] for element in elements]
        z = torch.tensor(numbers, dtype=torch.float64)
        radii = torch.tensor([COVALENT_RADII[number - 1] for number in numbers], dtype=torch.float64)
        # of ordered pairs of elements, (n_elements^2,)
        self._keep("charge", COULOMB * torch.outer(z, z).flatten())  # eV angstrom
        self._keep("length", LENGTH / (z.unsqueeze(1) ** POWER + z**POWER).flatten())  # angstrom
        self._keep("reach", (radii.unsqueeze(1) + radii).flatten().clamp(max=cutoff))  # angstrom
        self._keep("factors", torch.tensor(FACTORS, dtype=torch.float64))
        self._keep("rates", torch.tensor(RATES, dtype=torch.float64))

    def _keep(self, name: str, value: Tensor) -> None:
        """Store a constant; all follow from the elements, so a checkpoint does not hold them."""
        self.register_buffer(name, value, persistent=False)

    @torch.jit.export
    def pair_energy(self, distances: Tensor, pair: Tensor) -> Tensor:
        """Energy that an edge adds to its center.

        Args:
            distances: (n_edges,) angstrom, float64, positive.
            pair: (n_edges,) int64, center * n_elements + neighbor.

        Returns:
            (n_edges,) eV, float64.
        """
        scaled = (distances / self.length.index_select(0, pair)).unsqueeze(-1)
        screening = (self.factors * torch.exp(-self.rates * scaled)).sum(-1)
        envelope = polynomial_envelope(distances / self.reach.index_select(0, pair), 1.0, self.envelope_power)
        return 0.5 * self.charge.index_select(0, pair) * screening * envelope / distances

    def constants(self) -> dict[str, Tensor]:
        """Constants stored in an archive, by the names that ``pair_tdn/engine/pair_term.cpp`` reads; float64."""
        return {
            "charge": self.charge,
            "length": self.length,
            "reach": self.reach,
            "factors": self.factors,
            "rates": self.rates,
            "envelope_power": torch.tensor(float(self.envelope_power), dtype=torch.float64),
        }


def make_pair_term(config: ModelConfig) -> ZBL | None:
    """The pair term for a model's settings."""
    return ZBL(config.elements, config.cutoff) if config.pair_term == "zbl" else None
