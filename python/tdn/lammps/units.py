"""LAMMPS's unit styles in angstrom, eV and dalton; twin of ``pair_tdn/lammps/units.h``, compared by a test."""

from __future__ import annotations

from dataclasses import dataclass

from tdn.errors import TDNError

JOULE = 1.602176634e-19  #: per eV (CODATA 2018, as all constants here)
KILOGRAM = 1.66053906660e-27  #: per dalton
BOHR = 0.529177210903  #: angstrom
HARTREE = 27.211386245988  #: eV


@dataclass(frozen=True)
class Units:
    """One angstrom, one eV and one dalton in the units of a style."""

    angstrom: float
    eV: float
    dalton: float


#: kcal/mol as in LAMMPS's own conversion of potential files between metal and real.
UNITS = {
    "metal": Units(1.0, 1.0, 1.0),
    "real": Units(1.0, 23.060549, 1.0),
    "si": Units(1e-10, JOULE, KILOGRAM),
    "cgs": Units(1e-8, JOULE * 1e7, KILOGRAM * 1e3),
    "electron": Units(1 / BOHR, 1 / HARTREE, 1.0),
    "micro": Units(1e-4, JOULE * 1e15, KILOGRAM * 1e15),
    "nano": Units(0.1, JOULE * 1e21, KILOGRAM * 1e21),
}


def units_of(style: str) -> Units:
    """Units of a LAMMPS unit style.

    Raises:
        TDNError: the style cannot express angstrom and eV.
    """
    if style not in UNITS:
        raise TDNError(f"units {style!r} have no length and energy in angstrom and eV; use one of {' '.join(UNITS)}")
    return UNITS[style]
