"""NPT and box/relax of silicon hold the equation of state that a static scan of the energy gives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from lammps_runner import PRESSURE_FACTOR, setup, write_data
from scipy.interpolate import BSpline, make_interp_spline
from scipy.optimize import brentq
from solid import completed

import tdn
from tdn.deployment import read_label
from tdn.deployment.label import weights_hash

SILICON = Path(__file__).parents[2] / "examples" / "silicon"
GPA = 1e4  #: bar, LAMMPS's pressure in units metal
EV_PER_VOLUME = PRESSURE_FACTOR["metal"] / GPA  #: GPa in one eV/angstrom^3
#: PBE, literature: lattice constant (angstrom) and bulk modulus (GPa, middle of 89 to 97).
PBE_LATTICE, PBE_MODULUS = 5.469, 93.0
#: Relative step of the volume in finite differences.
STEP = 1e-4

NPT = """
velocity all create {temperature} 1 mom yes rot yes
timestep 0.002
thermo_style custom step temp press vol lx ly lz xy xz yz
thermo 20
# The barostat's mass goes with the temperature: at 2 K a damping time of 4.5 ps makes the volume swing in 30 steps.
# A single thermostat of the barostat (pchain 1) takes that swing out.
fix npt all npt temp {temperature} {temperature} 0.1 {coupling} {pressure} {pressure} 4.5 pchain 1
run 120
variable volume equal vol
fix mean all ave/time 1 120 120 v_volume c_thermo_press c_thermo_temp
run 120
print "mean = $(f_mean[1]:%.17g) $(f_mean[2]:%.17g) $(f_mean[3]:%.17g)"
print "lengths = $(lx:%.17g) $(ly:%.17g) $(lz:%.17g)"
"""

RELAX = """
fix relax all box/relax {coupling} {pressure} vmax 0.01 nreset 10
min_style cg
min_modify line quadratic
minimize 0 1e-8 200 1000
print "relaxed = $(vol:%.17g)"
"""


@dataclass(frozen=True)
class Scan:
    """Static states of the crystal; every row is a volume, columns are (1 - STEP, 1, 1 + STEP) times that volume."""

    volumes: np.ndarray  #: (n, 3) angstrom^3
    energies: np.ndarray  #: (n, 3) eV
    pressures: np.ndarray  #: (n, 3, 3) GPa: xx yy zz of LAMMPS's virial

    @cached_property
    def energy(self) -> BSpline:
        """E(V) through the middle column."""
        return make_interp_spline(self.volumes[:, 1], self.energies[:, 1], k=5)

    def pressure(self, volume: float) -> float:
        """-dE/dV in GPa, of energies alone."""
        return -EV_PER_VOLUME * float(self.energy(volume, 1))

    def volume(self, pressure: float) -> float:
        """Where -dE/dV is the pressure (GPa)."""
        low, high = self.volumes[[0, -1], 1]
        return brentq(lambda volume: self.pressure(volume) - pressure, low, high, xtol=1e-9)


def crystal() -> Atoms:
    """64 atoms of the diamond structure, about 1 % too small."""
    return bulk("Si", "diamond", a=5.40, cubic=True).repeat(2)


def start(folder: Path, style: str = "tdn device cpu", coupling: str = "iso") -> str:
    """Input lines up to the model."""
    write_data(crystal(), ["Si"], folder / "data.test")
    box = "change_box all triclinic\n" if coupling == "tri" else ""
    pair = f"pair_style {style}\npair_coeff * * {SILICON / 'silicon.tdn.pt'} Si\n"
    return setup(crystal()) + "mass 1 28.085\n" + box + pair


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Scan:
    """11 volumes from -10 % to +8 % of PBE's, in float64, on 2 ranks."""
    folder = tmp_path_factory.mktemp("scan")
    text = start(folder, "tdn device cpu precision float64") + "compute p all pressure NULL virial\n"
    text += "thermo_style custom step pe vol c_p[1] c_p[2] c_p[3]\n"
    grid = np.outer((2 * PBE_LATTICE) ** 3 * np.linspace(0.90, 1.08, 11), [1 - STEP, 1, 1 + STEP])
    for k, length in enumerate(np.cbrt(grid).ravel()):
        sides = " ".join(f"{axis} final 0 {length:.17g}" for axis in "xyz")
        text += f"change_box all {sides} remap units box\nrun 0\n"
        text += f'print "state{k} = $(vol:%.17g) $(pe:%.17g) $(c_p[1]:%.17g) $(c_p[2]:%.17g) $(c_p[3]:%.17g)"\n'
    done = completed(text, 2, folder, timeout=300)
    states = np.array([done.values(f"state{k}") for k in range(grid.size)]).reshape(*grid.shape, 5)
    return Scan(states[..., 0], states[..., 1], states[..., 2:] / GPA)


def test_pressure_is_the_slope_of_the_energy(scan):
    """p = -dE/dV by central differences, at every volume of the scan; the crystal is cubic."""
    slope = -EV_PER_VOLUME * (scan.energies[:, 2] - scan.energies[:, 0]) / (scan.volumes[:, 2] - scan.volumes[:, 0])
    assert np.ptp(slope) > 10
    assert np.ptp(scan.pressures, axis=-1).max() < 1e-8
    assert abs(scan.pressures[:, 1].mean(axis=-1) - slope).max() < 1e-5
    interpolated = [scan.pressure(volume) for volume in scan.volumes[1:-1, 1]]
    assert abs(interpolated - slope[1:-1]).max() < 0.002


def test_model_has_the_diamond_structure_of_pbe(scan):
    """One minimum, where PBE has it, and about as stiff."""
    assert np.all(np.diff(scan.pressures[:, 1].mean(axis=-1)) < 0), "the scan has no single minimum"
    volume = scan.volume(0.0)
    assert np.cbrt(volume) / 2 == pytest.approx(PBE_LATTICE, rel=0.005)
    modulus = EV_PER_VOLUME * volume * float(scan.energy(volume, 2))
    assert modulus == pytest.approx(PBE_MODULUS, rel=0.15)


@pytest.mark.parametrize(("coupling", "pressure"), [("iso", 0), ("iso", 5), ("iso", -3), ("aniso", -3), ("tri", 5)])
def test_npt_holds_the_equation_of_state(scan, coupling, pressure, tmp_path):
    """At 2 K, where classical thermal expansion is 1e-4: mean volume within 0.2 % of the scan's, on 2 ranks."""
    text = start(tmp_path, coupling=coupling) + NPT.format(temperature=2, coupling=coupling, pressure=pressure * GPA)
    done = completed(text, 2, tmp_path, timeout=300)
    volume, mean_pressure, temperature = done.values("mean")
    assert volume == pytest.approx(scan.volume(pressure), rel=0.002)
    assert mean_pressure / GPA == pytest.approx(pressure, abs=0.2)
    assert temperature < 20
    lengths = done.values("lengths")
    assert np.ptp(lengths) < 0.01 * lengths.mean()


@pytest.mark.parametrize(("coupling", "pressure"), [("iso", 0), ("iso", 5), ("iso", -3), ("tri", 5)])
def test_box_relax_finds_the_equation_of_state(scan, coupling, pressure, tmp_path):
    """The static volume at a pressure, within 0.01 %."""
    text = start(tmp_path, "tdn device cpu precision float64", coupling)
    text += RELAX.format(coupling=coupling, pressure=pressure * GPA)
    relaxed = completed(text, 2, tmp_path, timeout=300).values("relaxed")[0]
    assert relaxed == pytest.approx(scan.volume(pressure), rel=0.0001)


def test_example_input_keeps_the_crystal_at_300_kelvin(scan, tmp_path):
    """As a user runs it, but 0.4 ps long, on 2 ranks."""
    for name in ("in.silicon", "data.silicon", "silicon.tdn.pt"):
        shutil.copy(SILICON / name, tmp_path)
    completed("include in.silicon\n", 2, tmp_path, timeout=300, options=("-var", "steps", "200"))
    lattice, temperature, _ = np.loadtxt(tmp_path / "out" / "mean_1.dat")[1:]
    assert lattice == pytest.approx(np.cbrt(scan.volume(0.0)) / 2, rel=0.01)
    assert 150 < temperature < 450


def test_shipped_files_belong_together():
    """The archive was made from the checkpoint, and all files are small."""
    model = tdn.load(SILICON / "silicon.ckpt")
    assert weights_hash(model) == read_label(SILICON / "silicon.tdn.pt")["weights_hash"]
    assert sum(path.stat().st_size for path in SILICON.iterdir() if path.is_file()) < 1.5e6
