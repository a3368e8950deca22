"""fix gcmc and fix widom: trial insertions and deletions give the energies of atoms that are there or are not."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import Run
from scipy import constants
from solid import STATE, assert_same_state, completed, fresh, pair, show, solid, start, table

#: The closed-form model ``pair`` as a pair potential that LAMMPS computes by itself.
LEPTON = "pair_style lepton 3.0\n" + "".join(
    f'pair_coeff {a} {b} "{k}*(r-1.2)^2*(1-(r/3)^2)^3"\n' for a, b, k in ((1, 1, 1.0), (1, 2, 2.0), (2, 2, 3.0))
)
RANKS = pytest.mark.parametrize("n_ranks", [1, 2, 4])
COUNTS = "thermo_style custom step atoms pe c_w[*] f_g[1] f_g[2] f_g[4] f_g[6] f_g[8]\nthermo 1\n"
DIGITS = "thermo_modify norm no format float %.13g\n"


def begin(folder: Path) -> str:
    """A lattice with holes, in which atoms of type 2 come and go."""
    text = start(solid((3, 3, 4), spacing=2.6), folder, "atom_modify map yes")
    return text + "mass 1 1.008\nmass 2 15.999\ndelete_atoms random fraction 0.4 yes all NULL 9\ngroup gas type 2\n"


MOLECULE = """# H and O

2 atoms
1 bonds

Coords

1 -0.5 0 0
2 0.6 0 0

Types

1 1
2 2

Bonds

1 1 1 2
"""
#: Of the molecule, eV.
INTRAMOLECULAR = 2.0 * (1.1 - 1.2) ** 2 * (1 - (1.1 / 3) ** 2) ** 3
EMPTY = """
units metal
atom_style bond
atom_modify map yes
region b block 0 9 0 9 0 10
create_box 2 b bond/types 1 extra/bond/per/atom 1 extra/special/per/atom 1
mass 1 1.008
mass 2 15.999
bond_style zero
bond_coeff *
molecule m molecule.txt
group gas type 1 2
"""


def begin_with_molecules(folder: Path, seen: bool) -> str:
    """An empty box for molecules that see, or do not see, their own bond."""
    (folder / "molecule.txt").write_text(MOLECULE)
    return f"{EMPTY}special_bonds lj/coul {'1 1 1' if seen else '0 0 0'}\n"


def assert_same_trials(tdn: Run, reference: Run, molecules: bool = False) -> np.ndarray:
    """Every number of atoms, of attempts and of successes is the same at each step, so was each trial's verdict."""
    got, want = (table(done) for done in (tdn, reference))
    assert got.shape == want.shape
    np.testing.assert_array_equal(got[:, [0, 1, *range(9, 14)]], want[:, [0, 1, *range(9, 14)]])
    bonds = INTRAMOLECULAR * want[:, 1] / 2 if molecules else 0.0
    np.testing.assert_allclose(got[:, 2], want[:, 2] + bonds, rtol=0, atol=1e-9)
    return got


@RANKS
def test_atoms_come_and_go_as_with_a_pair_potential(archives, n_ranks: int, tmp_path: Path):
    """Insertions, deletions and translations between steps of dynamics, against LAMMPS's own evaluation."""
    runs = []
    for pairs in (pair(archives["pair", "float64"]), LEPTON):
        text = begin(tmp_path) + pairs + STATE + "fix g gas gcmc 2 16 8 2 4711 6000 -3.9 0.4 full_energy\n"
        text += f"{COUNTS}{DIGITS}velocity all create 1000 5\ntimestep 0.0003\nfix 1 all nve\nneighbor 0.5 bin\n"
        runs.append(completed(f"{text}run 12\n{show('now')}", n_ranks, tmp_path))
    got = assert_same_trials(*runs)
    assert np.all(got[-1, [10, 11, 12]] > 4)  # successes of translation, insertion and deletion
    assert len(np.unique(got[:, 1])) > 3


@RANKS
def test_many_body_model_after_each_trial(archives, n_ranks: int, tmp_path: Path):
    """Two layers and reference energies: after many trials the state is that of a fresh start."""
    pairs = pair(archives["message", "float64"])
    text = begin(tmp_path) + pairs + STATE + "fix g gas gcmc 1 16 8 2 4711 6000 -5.0 0.4\n" + COUNTS + DIGITS
    text += f"run 6\n{show('now')}thermo_style one\nunfix g\n{fresh(pairs)}"
    done = completed(text, n_ranks, tmp_path)
    assert_same_state(done, "now", "fresh")
    assert np.all(table(done)[-1, [10, 11, 12]] > 2)


def test_molecules_come_and_go_as_with_a_pair_potential(archives, tmp_path: Path):
    """LAMMPS moves molecules by full energies on one rank only. Its own bonds are in the energy of the model, which
    intra_energy tells, and hidden from the pair potential."""
    runs = []
    for seen, pairs in ((True, pair(archives["pair", "float64"])), (False, LEPTON)):
        energy = INTRAMOLECULAR if seen else 0.0
        text = begin_with_molecules(tmp_path, seen) + pairs + STATE
        text += f"fix g gas gcmc 1 20 20 0 4711 6000 -2.6 0.4 mol m intra_energy {energy:.17g} full_energy\n"
        runs.append(completed(f"{text}{COUNTS}{DIGITS}run 20\n{show('now')}", 1, tmp_path))
    got = assert_same_trials(*runs, molecules=True)
    assert np.all(got[-1, [11, 12, 13]] > 10)  # successes of insertion, deletion and rotation


def ideal_mu(density: float, temperature: float, mass: float) -> float:
    """Chemical potential (eV) of an ideal gas of atoms; density in 1/angstrom^3, mass in g/mol."""
    kT = constants.k * temperature
    wavelength = constants.h / np.sqrt(2 * np.pi * mass * constants.atomic_mass * kT)
    return kT * np.log(density * 1e30 * wavelength**3) / constants.e


def test_dilute_gas_has_the_density_of_its_chemical_potential(archives, tmp_path: Path):
    """The energy of an isolated atom is part of mu. Neighbors are rare: <N> = z V within statistics, var(N) = <N>."""
    expected, side, isolated = 20, 90.0, 0.3**2 - 1
    mu = ideal_mu(expected / side**3, 3000, 1.008) + isolated
    text = (
        f"units metal\natom_modify map yes\nregion b block 0 {side} 0 {side} 0 {side}\ncreate_box 2 b\nmass * 1.008\n"
    )
    text += f"create_atoms 1 random {expected} 55 b overlap 6\n{pair(archives['message', 'float64'])}{STATE}"
    text += f"fix g all gcmc 1 120 0 1 1234 3000 {mu} 0.1\n{COUNTS}{DIGITS}run 80\n{show('now')}"
    numbers = table(completed(text, 1, tmp_path))[8:, 1]
    assert numbers.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 60))
    assert 0.4 * expected < numbers.var() < 2 * expected


def widom(folder: Path, start_of: str, pairs: str, options: str, n_ranks: int, trials: int = 15) -> np.ndarray:
    """Thermo output; columns 9 to 11 are the chemical potential, the mean of the Boltzmann factor and the volume."""
    text = start_of + pairs + STATE + f"fix g all widom 1 {trials} {options} full_energy\n"
    text += "thermo_style custom step atoms pe c_w[*] f_g[1] f_g[2] f_g[3]\nthermo 1\n" + DIGITS
    done = completed(f"{text}run 3\n{show('now')}", n_ranks, folder)
    return table(done)


@RANKS
def test_widom_insertions_of_atoms(archives, n_ranks: int, tmp_path: Path):
    atoms = "2 4711 4000"
    tdn, lepton = (
        widom(tmp_path, begin(tmp_path), pairs, atoms, n_ranks) for pairs in (pair(archives["pair", "float64"]), LEPTON)
    )
    np.testing.assert_allclose(tdn, lepton, rtol=1e-9, atol=1e-9)
    assert np.all(np.abs(tdn[1:, 9]) > 0.01)


@RANKS
def test_widom_insertion_of_an_isolated_atom(archives, n_ranks: int, tmp_path: Path):
    """Alone in a large box an atom's excess chemical potential is its reference energy."""
    text = "units metal\natom_modify map yes\nregion b block 0 60 0 60 0 60\ncreate_box 2 b\nmass * 1.008\n"
    text += "create_atoms 1 single 30 30 30\n"
    got = widom(tmp_path, text, pair(archives["message", "float64"]), "1 4711 4000", n_ranks, trials=8)
    np.testing.assert_allclose(got[1:, 9], 0.3**2 - 1, rtol=0, atol=1e-3)


def test_widom_insertions_of_molecules(archives, tmp_path: Path):
    runs = []
    for seen, pairs in ((True, pair(archives["pair", "float64"])), (False, LEPTON)):
        energy = INTRAMOLECULAR if seen else 0.0
        text = begin_with_molecules(tmp_path, seen) + "create_atoms 0 random 6 55 NULL mol m 77 overlap 2.0\n"
        runs.append(widom(tmp_path, text, pairs, f"0 4711 4000 mol m intra_energy {energy:.17g}", 1))
    np.testing.assert_allclose(runs[0][:, 9:], runs[1][:, 9:], rtol=1e-9, atol=1e-9)
