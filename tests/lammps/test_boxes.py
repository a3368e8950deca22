"""Checklist "Boxes: ppp, ppf, sss, slabs with vacuum, triclinic and general triclinic ... a rank with no atoms"."""

from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import PRESSURE_FACTOR
from scipy.spatial.transform import Rotation
from solid import ELEMENTS, STATE, assert_same_state, completed, fresh, pair, show, solid, start, table
from test_changing_atoms import read_dump
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401

MESSAGE = ("message", "float64")
DUMP = "dump d all custom 1 dump.end id fx fy fz\ndump_modify d sort id format float %.17g"


def forces_of(folder: Path) -> np.ndarray:
    """(n, 3) of dump.end, in the order of the IDs."""
    rows = (folder / "dump.end").read_text().splitlines()[9:]
    return np.array([row.split()[1:] for row in rows], dtype=float)


def write_general(atoms: ase.Atoms, path: Path) -> None:
    """Data file whose cell vectors point anywhere."""
    lines = ["general triclinic", "", f"{len(atoms)} atoms", "2 atom types"]
    lines += [f"{' '.join(f'{x:.17g}' for x in v)} {n}vec" for n, v in zip("abc", atoms.cell.array, strict=True)]
    lines += ["0 0 0 abc origin", "", "Masses", "", "1 10.0", "2 10.0", "", "Atoms # atomic", ""]
    for k, (symbol, position) in enumerate(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True), start=1):
        lines.append(f"{k} {ELEMENTS.index(symbol) + 1} {' '.join(f'{x:.17g}' for x in position)}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_general_triclinic(archives, n_ranks: int, tmp_path: Path):
    """General triclinic: energy, forces in the general frame and pressure tensor of a cell turned in space."""
    atoms = random_atoms(30, [[8, 0, 0], [2.5, 7, 0], [-1.5, 2, 8]], seed=1)
    turn = Rotation.from_rotvec([0.5, -0.8, 1.1]).as_matrix()
    atoms.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    write_general(atoms, tmp_path / "data.general")
    text = f"units metal\natom_style atomic\nread_data data.general\n{pair(archives[MESSAGE])}{STATE}"
    text += f"thermo_modify triclinic/general yes\n{DUMP} triclinic/general yes\nthermo_style custom step pe vol fnorm"
    text += " fmax c_w[*] pxx pyy pzz pxy pxz pyz\nthermo_modify triclinic/general yes norm no\nrun 0\n"
    text += f'print "p = $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pxy:%.17g) $(pxz:%.17g) $(pyz:%.17g)"\n{show("now")}'
    done = completed(text, n_ranks, tmp_path)
    want = expected("message", atoms)
    assert done.values("now")[0] == pytest.approx(want["atom_energies"].sum(), abs=1e-9)
    np.testing.assert_allclose(forces_of(tmp_path), want["forces"], rtol=0, atol=1e-9)
    pressure = want["virial"] / atoms.get_volume() * PRESSURE_FACTOR["metal"]
    np.testing.assert_allclose(done.values("p"), pressure, rtol=1e-9, atol=1e-3)


BOUNDARIES = {
    "p p p": (True, True, True),
    "p p f": (True, True, False),
    "p p s": (True, True, False),
    "p f p": (True, False, True),
    "s s s": (False, False, False),
    "p s m": (True, False, False),
}


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_boundaries_in_motion(archives, n_ranks: int, tmp_path: Path):
    """ppp, ppf, pps, pfp, sss: after 100 steps the state is that of a fresh start and that of the formula."""
    pairs, text = pair(archives[MESSAGE]), ""
    atoms = solid((3, 3, 3), mixed=True)
    atoms.cell[2, 2] = 14.0
    atoms.cell[1, 1] = 12.0
    atoms.positions[:, 1:] += 2.5
    for boundary in BOUNDARIES:
        kind = boundary.replace(" ", "")
        text += start(atoms, tmp_path).replace("boundary p p p", f"boundary {boundary}") + pairs + STATE
        text += "velocity all create 800 5 mom yes\ntimestep 0.0005\nfix 1 all nve\nneighbor 0.5 bin\nrun 100\n"
        text += f"write_dump all custom dump.{kind} id type xu yu zu modify sort id format float %.17g\n{show(kind)}"
        text += fresh(pairs, f"{kind}_fresh").replace("boundary p p p", f"boundary {boundary}") + "clear\n"
    done = completed(text, n_ranks, tmp_path)
    for boundary, periodic in BOUNDARIES.items():
        kind = boundary.replace(" ", "")
        assert_same_state(done, kind, f"{kind}_fresh")
        last = read_dump(tmp_path / f"dump.{kind}", atoms.cell.array)
        last.pbc = periodic
        want = expected("message", last)
        assert done.values(kind)[0] == pytest.approx(want["atom_energies"].sum(), abs=1e-9), kind
        assert done.values(kind)[1] == pytest.approx(np.linalg.norm(want["forces"]), abs=1e-8), kind


def test_rank_that_atoms_leave(archives, tmp_path: Path):
    """A cluster flies from the subdomain of one rank to that of the other: first one, then the other has no atoms."""
    pairs = pair(archives[MESSAGE])
    atoms = random_atoms(10, [4.0, 4.0, 4.0], False, seed=2)
    atoms.positions += [3.0, 3.0, 3.0]
    atoms.cell = [20.0, 10.0, 10.0]
    atoms.pbc = True
    text = start(atoms, tmp_path, "processors 2 1 1") + pairs + STATE + "neighbor 0.5 bin\ntimestep 0.0005\n"
    text += 'variable l atom "x < 10"\nvariable r atom "x >= 10"\nvelocity all set 200 0 0\nfix 1 all nve\n'
    text += "compute n all reduce sum v_l v_r\nthermo 10\nthermo_style custom step pe etotal fnorm fmax c_w[*] c_n[*]\n"
    text += f'run 0\n{show("begin")}print "n0 = $(c_n[1]) $(c_n[2])"\nrun 90\n{show("now")}'
    text += 'print "n1 = $(c_n[1]) $(c_n[2])"\n' + fresh(pairs, commands="processors 2 1 1")
    done = completed(text, 2, tmp_path)
    assert list(done.values("n0")) == [10, 0] and list(done.values("n1")) == [0, 10]
    assert_same_state(done, "now", "fresh")
    energies = table(done)[:, 2]
    assert len(energies) == 10 and np.ptp(energies) < 1e-3


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("n_atoms", [0, 1, 2])
def test_few_atoms_in_motion(archives, n_atoms: int, n_ranks: int, tmp_path: Path):
    """0, 1 and 2 atoms: dynamics through a periodic cell below the cutoff, with rebuilds and ranks without atoms."""
    pairs = pair(archives[MESSAGE])
    atoms = ase.Atoms("OH", positions=[[0.2, 0.3, 0.1], [1.5, 1.6, 1.4]], cell=[2.8, 2.9, 2.9], pbc=True)[:n_atoms]
    text = start(atoms, tmp_path) + pairs + STATE + "neighbor 0.3 bin\nneigh_modify every 1 delay 0 check yes\n"
    text += "velocity all set 30 -20 10\n" if n_atoms else ""
    text += f"timestep 0.0005\nfix 1 all nve\nrun 200\n{show('now')}{fresh(pairs)}"
    done = completed(text, n_ranks, tmp_path)
    assert_same_state(done, "now", "fresh")
    if n_atoms == 1:  # moving a lattice changes nothing
        assert done.values("now")[0] == pytest.approx(expected("message", atoms)["atom_energies"].sum(), abs=1e-9)
