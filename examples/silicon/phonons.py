"""Crystalline silicon with the trained model: relaxed cell, equation of state, phonons by finite displacements.

Needs phonopy (pip install phonopy). Writes eos.png and phonons.png:

    python phonons.py                          # the archive beside this file, 216 atoms
    python phonons.py --supercell 4 --output .
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.dft.kpoints import BandPath
from ase.eos import EquationOfState
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from tdn.ase import TDNCalculator
from tdn.relaxation.relax import Settings, relax

HERE = Path(__file__).resolve().parent
#: PBE, all-electron: V0 = 20.453 angstrom^3 per atom and B0 = 88.5 GPa (WIEN2k in K. Lejaeghere et al., Science 351,
#: aad3000 (2016)).
PBE_LATTICE, PBE_MODULUS = 5.469, 88.5
#: Frequencies measured at room temperature, THz (G. Nilsson and G. Nelin, Phys. Rev. B 6, 3777 (1972)).
MEASURED = {"optical, zone center": 15.5, "transverse acoustic, X": 4.5}
#: Strains of the lengths in the equation of state: the modulus at zero pressure asks for small ones.
STRAINS = np.linspace(-0.01, 0.01, 11)
#: Displacement of an atom, angstrom: large beside the rounding of float32 forces, small beside a bond.
DISPLACEMENT = 0.02
GAMMA, X = np.zeros(3), np.array([0.5, 0.0, 0.5])


def relaxed_cell(calculator: Calculator) -> Atoms:
    """Primitive cell of two atoms without stress."""
    start = bulk("Si", "diamond", a=5.43)
    done = relax(start, calculator, Settings(fmax=1e-4, cell=True, symmetry=True))
    return done.atoms


def equation_of_state(cell: Atoms, calculator: Calculator) -> EquationOfState:
    """Birch-Murnaghan fit through the energies of the strained cell."""
    volumes, energies = [], []
    for strain in STRAINS:
        strained = cell.copy()
        strained.set_cell((1 + strain) * cell.cell.array, scale_atoms=True)
        volumes.append(strained.get_volume())
        energies.append(calculator.get_potential_energy(strained))
    return EquationOfState(volumes, energies, eos="birchmurnaghan")


def phonons(cell: Atoms, calculator: Calculator, copies: int) -> Phonopy:
    """Force constants from one displaced atom, symmetry gives the others, in ``copies``^3 cubic cells of 8 atoms."""
    to_cubic = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    unit = PhonopyAtoms(cell.get_chemical_symbols(), cell=cell.cell.array, scaled_positions=cell.get_scaled_positions())
    phonon = Phonopy(unit, supercell_matrix=copies * to_cubic, primitive_matrix="P")
    phonon.generate_displacements(distance=DISPLACEMENT)
    forces = []
    for moved in phonon.supercells_with_displacements:
        atoms = Atoms(moved.symbols, cell=moved.cell, scaled_positions=moved.scaled_positions, pbc=True)
        forces.append(calculator.get_forces(atoms))
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return phonon


def plot_equation_of_state(eos: EquationOfState, path: Path) -> None:
    volume, energy, modulus = eos.fit()
    figure, axis = plt.subplots(figsize=(5, 3.8), layout="constrained")
    smooth = np.linspace(min(eos.v), max(eos.v), 200)
    curve = eos.func(smooth, *eos.eos_parameters)
    axis.plot(smooth / 2, 1e3 * (curve - energy) / 2, "-", label="Birch-Murnaghan fit")
    axis.plot(np.array(eos.v) / 2, 1e3 * (np.array(eos.e) - energy) / 2, "o", label="model")
    axis.axvline(PBE_LATTICE**3 / 8, color="black", linewidth=0.8, linestyle=":", label="PBE")
    axis.set(xlabel="volume (angstrom$^3$/atom)", ylabel="energy above the minimum (meV/atom)")
    axis.set_title(f"a = {np.cbrt(4 * volume):.3f} angstrom, B = {modulus / units.GPa:.1f} GPa", fontsize=10)
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_phonons(phonon: Phonopy, path: Path) -> float:
    """Bands along the usual path beside the density of states; returns the lowest frequency seen, THz."""
    band_path = Atoms(cell=phonon.primitive.cell, pbc=True).cell.bandpath("GXU,KGL", npoints=300)
    bands = phonon.run_qpoints(band_path.kpts).frequencies
    phonon.run_mesh([31, 31, 31], is_gamma_center=True)
    phonon.run_total_dos()
    dos = phonon.total_dos
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), sharey=True, width_ratios=[3, 1], layout="constrained")
    draw_bands(left, band_path, bands)
    right.fill_betweenx(dos.frequency_points, dos.dos, alpha=0.5)
    right.set(xlabel="states (1/THz)", xlim=(0, None))
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return float(min(bands.min(), phonon.mesh.frequencies.min()))


def draw_bands(axis: plt.Axes, band_path: BandPath, bands: np.ndarray) -> None:
    places, ticks, names = band_path.get_linear_kpoint_axis()
    axis.plot(places, bands, "-", color="tab:blue", linewidth=1.2)
    for tick in ticks:
        axis.axvline(tick, color="black", linewidth=0.5)
    x = ticks[names.index("X")]
    axis.plot([ticks[0], x], list(MEASURED.values()), "s", color="black", markersize=5, clip_on=False, label="measured")
    shown = dict(zip(ticks, names, strict=True)) | {ticks[names.index("U")]: "U, K"}  # the path jumps between the two
    axis.set_xticks(list(shown), [name.replace("G", r"$\Gamma$") for name in shown.values()])
    axis.set(ylabel="frequency (THz)", xlim=(places[0], places[-1]), ylim=(min(0.0, bands.min()), None))
    axis.legend(loc="lower right")


def report(cell: Atoms, eos: EquationOfState, phonon: Phonopy, lowest: float) -> str:
    """Numbers of the model beside those of PBE and of measurements."""
    volume, _, modulus = eos.fit()
    at_gamma, at_x = phonon.run_qpoints([GAMMA, X]).frequencies
    rows = [
        ("lattice constant, relaxed (angstrom)", np.cbrt(4 * cell.get_volume()), PBE_LATTICE, "PBE"),
        ("lattice constant, fit (angstrom)", np.cbrt(4 * volume), PBE_LATTICE, "PBE"),
        ("bulk modulus (GPa)", modulus / units.GPa, PBE_MODULUS, "PBE"),
        *(
            (f"{name} (THz)", value, measured, "measured")
            for (name, measured), value in zip(MEASURED.items(), (at_gamma[-1], at_x[0]), strict=True)
        ),
        ("lowest frequency (THz)", round(lowest, 4) + 0.0, 0.0, "stable crystal"),
    ]
    lines = [f"{name:<40}{value:>10.4f}{reference:>12.3f}  {source}" for name, value, reference, source in rows]
    return "\n".join([f"{'':<40}{'model':>10}{'reference':>12}", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=HERE / "silicon.tdn.pt", help="archive or checkpoint")
    parser.add_argument("--supercell", type=int, default=3, metavar="N", help="N x N x N cubic cells (default 3)")
    parser.add_argument("--output", type=Path, default=HERE, metavar="FOLDER", help="of the figures")
    args = parser.parse_args()
    calculator = TDNCalculator(args.model)
    cell = relaxed_cell(calculator)
    eos = equation_of_state(cell, calculator)
    phonon = phonons(cell, calculator, args.supercell)
    plot_equation_of_state(eos, args.output / "eos.png")
    lowest = plot_phonons(phonon, args.output / "phonons.png")
    print(report(cell, eos, phonon, lowest))


if __name__ == "__main__":
    main()
