"""The box and the data file that LAMMPS gets of an ASE structure, and what an import of tdn.lammps brings with it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import structures
from ase import Atoms
from ase.build import fcc111
from driver_worker import left_handed

from tdn.errors import TDNError
from tdn.lammps.box import MARGIN, LammpsBox
from tdn.lammps.data_file import data_text
from tdn.lammps.units import UNITS


def open_structure(pbc: tuple[bool, bool, bool]) -> Atoms:
    """A turned crystal, not periodic in some directions, that reaches beyond its cell."""
    atoms = left_handed()
    atoms.positions -= 3.0
    atoms.pbc = pbc
    return atoms


STRUCTURES = {
    "periodic": structures.silicon_triclinic,
    "turned and left-handed": left_handed,
    "open in a": lambda: open_structure((False, True, True)),
    "open in b": lambda: open_structure((True, False, True)),
    "open in c": lambda: open_structure((True, True, False)),
    "wire along a": lambda: open_structure((True, False, False)),
    "wire along b": lambda: open_structure((False, True, False)),
    "molecule": structures.ethanol,
    "slab without vector": lambda: fcc111("Cu", (3, 3, 2), a=3.6, periodic=False),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_box_is_the_same_crystal_in_the_form_of_lammps(name):
    atoms = STRUCTURES[name]()
    box = LammpsBox.around(atoms)
    assert np.allclose(box.cell, np.tril(box.cell)) and (np.diag(box.cell) > 0).all()
    assert np.allclose(box.rotation @ box.rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(box.rotation) == pytest.approx(1)
    lattice, own = (box.cell @ box.rotation)[atoms.pbc], atoms.cell.array[atoms.pbc]
    signs = np.sign((lattice * own).sum(1))[:, None]  # a vector and its opposite span the same crystal
    assert np.allclose(signs * lattice, own, atol=1e-12)
    assert box.boundary == " ".join("p" if p else "f" for p in atoms.pbc)


@pytest.mark.parametrize("name", STRUCTURES)
def test_open_directions_hold_all_atoms_and_no_tilt(name):
    atoms = STRUCTURES[name]()
    box = LammpsBox.around(atoms)
    x = atoms.positions @ box.rotation.T
    for axis in np.flatnonzero(~atoms.pbc):
        others = np.delete(np.arange(3), axis)
        assert not box.cell[axis, others].any() or np.allclose(box.cell[axis, others], 0, atol=1e-12)
        assert np.allclose(box.cell[others, axis], 0, atol=1e-12)
        assert x[:, axis].min() >= box.low[axis] and x[:, axis].max() < box.low[axis] + box.cell[axis, axis]


def test_usable_room_is_kept_and_other_room_is_made():
    atoms = Atoms("OH", [[1, 1, 1], [2, 2, 2]], cell=[10, 11, 12], pbc=False)
    box = LammpsBox.around(atoms)
    assert np.array_equal(box.cell, np.diag([10, 11, 12])) and not box.low.any() and box.tilts is None
    atoms.positions[1, 1] = 11.0  # the end does not belong to the box
    box = LammpsBox.around(atoms)
    assert np.array_equal(np.diag(box.cell), [10, 10 + 2 * MARGIN, 12])
    assert np.array_equal(box.low, [0, 1 - MARGIN, 0])


def test_cells_without_volume_are_refused():
    with pytest.raises(TDNError, match="periodic along cell vector 3, which is zero; set the cell or pbc"):
        LammpsBox.around(Atoms("O", cell=[5, 5, 0], pbc=True))
    with pytest.raises(TDNError, match="span no volume; set the cell"):
        LammpsBox.around(Atoms("O", cell=[[5, 0, 0], [0, 5, 0], [1, 1, 0]], pbc=True))


@pytest.mark.parametrize(("style", "mass", "length"), [("metal", 15.999, 4.0), ("si", 2.6566962e-26, 4e-10)])
def test_data_file_is_in_the_units_of_the_run(style, mass, length):
    atoms = Atoms("O", [[1, 1, 1]], cell=[4, 4, 4], pbc=True)
    text = data_text(atoms, ["O", "H"], LammpsBox.around(atoms), UNITS[style], "charge")
    lines = text.splitlines()
    assert float(lines[4].split()[1]) == pytest.approx(length)
    assert float(lines[lines.index("Masses") + 2].split()[1]) == pytest.approx(mass, rel=1e-6)
    assert [float(word) for word in lines[-1].split()] == pytest.approx([1, 1, 0, *[length / 4] * 3])


def test_import_brings_nothing_slow():
    """`lmp` imports this package at every start, also where these packages are missing."""
    code = (
        "import sys\nfor name in ('torch', 'lammps', 'mpi4py', 'numpy', 'ase'):\n    sys.modules[name] = None\n"
        "import tdn.lammps as t\nt.plugin_search_path(); t.package_dir(); print(t.PLUGIN_FILE)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "tdnplugin.so"), done.stderr


def test_unknown_name_is_an_attribute_error():
    import tdn.lammps

    assert tdn.lammps.Simulation.__name__ == "Simulation"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tdn.lammps.nothing
