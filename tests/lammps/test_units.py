"""Checklist "units checked or converted": the same structure in every unit style, against constants of scipy."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import setup
from scipy import constants
from solid import STATE, completed, pair, show
from test_boxes import write_general
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401

ANGSTROM = 1e-10
BOHR = constants.physical_constants["Bohr radius"][0]
HARTREE = constants.physical_constants["Hartree energy"][0]
#: Units of length (m), energy (J) and pressure (Pa) of each style, from the manual of LAMMPS.
UNITS = {
    "metal": (ANGSTROM, constants.e, constants.bar),
    "real": (ANGSTROM, constants.calorie * 1000 / constants.N_A, constants.atm),
    "si": (1.0, 1.0, 1.0),
    "cgs": (1e-2, 1e-7, 0.1),
    "electron": (BOHR, HARTREE, 1.0),
    "micro": (1e-6, 1e-15, 1e3),
    "nano": (1e-9, 1e-21, 1e6),
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("style", UNITS)
def test_unit_style(archives, style: str, n_ranks: int, tmp_path: Path):
    """Energy, per-atom energies, forces and pressure in units metal, real, si, cgs, electron, micro and nano."""
    length, energy, pressure = UNITS[style]
    atoms = random_atoms(30, [[7, 0, 0], [1.0, 7.5, 0], [-1.0, 0.5, 8.0]], seed=4)
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * ANGSTROM / length, scale_atoms=True)
    write_general(scaled, tmp_path / "data.test")
    text = setup(scaled, units=style)
    # LAMMPS's default skin of si, cgs and micro is a million angstrom or more
    text += f"neighbor {0.5 * ANGSTROM / length:.17g} bin\n{pair(archives['message', 'float64'])}{STATE}"
    text += "compute z all pe/atom\ndump d all custom 1 dump.end id fx fy fz c_z\n"
    text += "dump_modify d sort id format float %.17g\n"
    done = completed(f"{text}run 0\n{show('now')}", n_ranks, tmp_path)
    rows = np.array([row.split() for row in (tmp_path / "dump.end").read_text().splitlines()[9:]], dtype=float)
    want = expected("message", atoms)
    eV = constants.e / energy
    close = {"rtol": 2e-7, "atol": 1e-9}  # LAMMPS's own constants have seven or eight digits
    np.testing.assert_allclose(done.values("now")[0] / eV, want["atom_energies"].sum(), **close)
    np.testing.assert_allclose(rows[:, 4] / eV, want["atom_energies"], **close)
    np.testing.assert_allclose(rows[:, 1:4] / eV * (ANGSTROM / length), want["forces"], **close)
    volume = atoms.get_volume() * ANGSTROM**3
    np.testing.assert_allclose(
        done.values("now")[3:9] * pressure * volume / constants.e, want["virial"], rtol=1e-6, atol=1e-9
    )
