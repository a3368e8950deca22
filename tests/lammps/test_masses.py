"""Masses tell when pair_coeff names the elements in another order than the types."""

from pathlib import Path

import pytest
from lammps_runner import Run, setup
from solid import completed, pair
from water_molecule import ATOMS, fill

from tdn.lammps.units import UNITS


@pytest.fixture
def folder(tmp_path: Path, archives) -> Path:
    return fill(tmp_path, archives)


def warnings(done: Run) -> list[str]:
    lines = [line for line in done.output.splitlines() if "an element of mass" in line]
    return [line.removeprefix("WARNING: Pair style tdn: ").rsplit(" (", 1)[0] for line in lines]


def warning(number: int, element: str, standard: str, mass: str) -> str:
    isotope = " (deuterium has 2.014)" if element == "H" else ""
    return (
        f"pair_coeff makes type {number} {element}, an element of mass {standard}, but its mass is {mass} g/mol: check "
        f"the order of the elements, unless another mass is meant{isotope}"
    )


SWAPPED = [warning(1, "H", "1.008", "15.999"), warning(2, "O", "15.999", "1.008")]


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_swapped_elements_are_warned_about_once(folder: Path, archives, n_ranks: int):
    text = f"{setup(ATOMS)}mass 1 15.999\nmass 2 1.008\n{pair(archives['message', 'float64'])}run 0\nrun 0\n"
    assert warnings(completed(text, n_ranks, folder)) == SWAPPED


@pytest.mark.parametrize(
    ("masses", "expected"),
    [
        ((1.008, 15.999), []),
        ((1.2095, 12.8), []),
        ((1.21, 12.7), [warning(1, "H", "1.008", "1.21"), warning(2, "O", "15.999", "12.7")]),
        ((2.014, 15.999), [warning(1, "H", "1.008", "2.014")]),
    ],
)
def test_twenty_per_cent(folder: Path, archives, masses: tuple[float, float], expected: list[str]):
    text = f"{setup(ATOMS)}mass 1 {masses[0]}\nmass 2 {masses[1]}\n{pair(archives['message', 'float64'])}run 0\n"
    assert warnings(completed(text, 1, folder)) == expected


def test_type_without_element(folder: Path, archives):
    pairs = f"pair_style hybrid tdn device cpu zero 3.0\npair_coeff * * tdn {archives['message', 'float64']} NULL O\n"
    text = f"{setup(ATOMS)}mass 1 77\nmass 2 15.999\n{pairs}pair_coeff 1 * zero\nrun 0\n"
    assert warnings(completed(text, 1, folder)) == []


def test_units_of_mass(tmp_path: Path, archives):
    """The masses of H and O in the units of every style, then swapped."""
    text = ""
    for style, units in UNITS.items():
        side, low, high = 10 * units.angstrom, 1.008 * units.dalton, 15.999 * units.dalton
        for first, second in ((low, high), (high, low)):
            text += f"units {style}\nregion b block 0 {side} 0 {side} 0 {side}\ncreate_box 2 b\n"
            text += f"mass 1 {first}\nmass 2 {second}\ncreate_atoms 1 single {side / 2} {side / 2} {side / 2}\n"
            text += f"neighbor {units.angstrom} bin\n{pair(archives['message', 'float64'])}"
            text += f'run 0\nprint "end of {style}"\nclear\n'
    done = completed(text, 1, tmp_path)
    for style in UNITS:
        right, swapped, _ = done.output.split(f"end of {style}\n")
        assert warnings(Run(0, right.split("end of ")[-1])) == []
        assert warnings(Run(0, swapped)) == SWAPPED


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_masses_of_atoms(tmp_path: Path, archives, n_ranks: int):
    """Atom styles with a mass per atom: the farthest of each type, wherever it is."""
    text = "units metal\natom_style sphere\nregion b block 0 20 0 10 0 10\ncreate_box 2 b\n"
    text += "create_atoms 1 single 3 5 5\ncreate_atoms 1 single 17 5 5\ncreate_atoms 2 single 10 5 5\n"
    text += f"set type 1 mass 1.008\nset type 2 mass 15.999\n{pair(archives['message', 'float64'])}run 0\n"
    text += 'print "now one"\nset atom 2 mass 0.5\nrun 0\n'
    before, after = completed(text, n_ranks, tmp_path).output.split("now one\n", 1)
    assert warnings(Run(0, before)) == []
    assert warnings(Run(0, after)) == [warning(1, "H", "1.008", "0.5")]
