"""Checklist "atom styles atomic, charge, full" and "special_bonds 1 1 1": the same energy and forces in each."""

from pathlib import Path

import ase
import numpy as np
import pytest
from solid import ELEMENTS, STATE, completed, pair, show
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401

#: Columns of the section Atoms between the ID and the position, as LAMMPS documents them, by atom style.
COLUMNS = {
    "atomic": "{type}",
    "charge": "{type} {charge}",
    "bond": "{molecule} {type}",
    "molecular": "{molecule} {type}",
    "full": "{molecule} {type} {charge}",
    "sphere": "{type} 1.0 1.0",
    "hybrid charge sphere": "{type} X {charge} 1.0 1.0",
}
BONDED = {"bond", "molecular", "full"}


def atom_line(k: int, symbol: str, position: np.ndarray, style: str) -> str:
    values = {"type": ELEMENTS.index(symbol) + 1, "charge": 0.4 if symbol == "H" else -0.8, "molecule": k // 3 + 1}
    columns, x = COLUMNS[style].format(**values), " ".join(f"{value:.17g}" for value in position)
    # atom_style hybrid has the position before the columns of its sub-styles
    return f"{k + 1} " + (columns.replace("X", x) if "X" in columns else f"{columns} {x}")


def write_styled(atoms: ase.Atoms, style: str, path: Path) -> None:
    """Data file of an orthogonal cell; in molecular styles atoms 1-2-3, 4-5-6, ... are molecules with two bonds."""
    bonds = [(k, k + 1) for k in range(1, len(atoms)) if k % 3] if style in BONDED else []
    lines = ["test structure", "", f"{len(atoms)} atoms", "2 atom types"]
    if bonds:
        lines += [f"{len(bonds)} bonds", "1 bond types", "2 extra bond per atom", "4 extra special per atom"]
    lines += [f"0 {atoms.cell[d, d]:.17g} {'xyz'[d]}lo {'xyz'[d]}hi" for d in range(3)]
    if "sphere" not in style:  # styles with a density per atom have no masses by type
        lines += ["", "Masses", "", "1 1.008", "2 15.999"]
    lines += ["", "Atoms", ""]
    symbols = atoms.get_chemical_symbols()
    lines += [atom_line(k, *pair, style) for k, pair in enumerate(zip(symbols, atoms.positions, strict=True))]
    if bonds:
        lines += ["", "Bonds", "", *(f"{n} 1 {i} {j}" for n, (i, j) in enumerate(bonds, start=1))]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("style", COLUMNS)
def test_atom_style(archives, style: str, n_ranks: int, tmp_path: Path):
    """Charges, molecules, bonds and radii do not concern the model."""
    atoms = random_atoms(30, [7.0, 7.5, 8.0], seed=4)
    write_styled(atoms, style, tmp_path / "data.styled")
    text = f"units metal\natom_style {style}\n"
    bonds = "bond_style zero\nbond_coeff * 1.0\nspecial_bonds lj/coul 1 1 1\n" if style in BONDED else ""
    text += f"{bonds.replace('bond_coeff * 1.0', '')}read_data data.styled\n" + ("bond_coeff * 1.0\n" if bonds else "")
    text += pair(archives["message", "float64"]) + STATE
    text += "dump d all custom 1 dump.end id fx fy fz\ndump_modify d sort id format float %.17g\n"
    done = completed(f"{text}run 0\n{show('now')}", n_ranks, tmp_path)
    rows = (tmp_path / "dump.end").read_text().splitlines()[9:]
    want = expected("message", atoms)
    assert done.values("now")[0] == pytest.approx(want["atom_energies"].sum(), abs=30e-10)
    forces = np.array([row.split()[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(forces, want["forces"], rtol=0, atol=1e-9)
