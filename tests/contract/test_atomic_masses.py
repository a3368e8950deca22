"""The masses of the pair style are those of ASE, which has IUPAC's."""

import re
from pathlib import Path

import numpy as np
from ase.data import atomic_masses_iupac2016

from tdn.elements import SYMBOLS

HEADER = Path(__file__).parents[2] / "pair_tdn" / "lammps" / "atomic_masses.h"


def test_every_element_has_its_mass():
    found = re.findall(r'\{"(\w+)", ([\d.]+)\}', HEADER.read_text())
    assert tuple(symbol for symbol, _ in found) == SYMBOLS
    np.testing.assert_array_equal([float(mass) for _, mass in found], atomic_masses_iupac2016[1:])
