"""Checklist "deposit / evaporate / delete_atoms (non-consecutive tags), atom_modify sort": exact after each change."""

from pathlib import Path

import ase
import numpy as np
import pytest
from solid import ELEMENTS, STATE, assert_same_state, completed, fresh, pair, show, solid, start
from test_closed_form import expected, float64_formulas  # noqa: F401

RUN = "velocity all create 1000 3 mom yes\ntimestep 0.0005\nfix 1 all nve\nneighbor 0.5 bin\n"

DELETE = "group g id 3 17 40:50\ndelete_atoms group g compress no\n"
#: Commands, and by how many atoms they change the 64 of the start.
CHANGES = {
    "deposit": ("region r block 0 8 0 8 0 8\nfix 2 all deposit 8 1 5 77 region r near 0.9\nrun 50\nunfix 2", +8),
    "evaporate": ("region r block INF INF INF INF INF INF\nfix 2 all evaporate 5 3 r 7\nrun 50\nunfix 2", -30),
    "delete_atoms": ("delete_atoms random count 20 yes all NULL 5 compress no\nrun 20", -20),
    "delete_and_compress": ("delete_atoms random count 20 yes all NULL 5 compress yes\nrun 20", -20),
    "create_atoms": (
        "run 10\ncreate_atoms 1 single 1.55 1.55 1.55\ncreate_atoms 2 single 5.75 5.75 5.75\nrun 10",
        +2,
    ),
    "create_after_delete": (f"{DELETE}create_atoms 1 random 5 9 NULL overlap 0.8\nrun 10", -8),
    "renumbered": (f"{DELETE}run 5\nreset_atoms id sort yes\nrun 5", -13),
    "displaced": (
        "run 5\ndisplace_atoms all move 3.3 -2 1 units box\ndisplace_atoms all random 0.1 0.1 0.1 3\nrun 5",
        0,
    ),
    "replicated": ("run 5\nreplicate 2 1 1\nrun 5", +64),
}
MAPS = {"default": "", "map_hash": "atom_modify map hash", "map_yes": "atom_modify map yes sort 0 0.0"}


def read_dump(path: Path, cell: np.ndarray) -> ase.Atoms:
    """Atoms of a dump with columns id type x y z."""
    rows = np.array([row.split() for row in path.read_text().splitlines()[9:]], dtype=float)
    return ase.Atoms(np.array(ELEMENTS)[rows[:, 1].astype(int) - 1], positions=rows[:, 2:], cell=cell, pbc=True)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("before", MAPS)
def test_changes(archives, before: str, n_ranks: int, tmp_path: Path):
    """After each change the state is that of a fresh start, whatever the atom map and the order in memory."""
    pairs = pair(archives["message", "float64"])
    text = ""
    for name, (commands, _) in CHANGES.items():
        text += start(solid(mixed=True), tmp_path, MAPS[before]) + pairs + STATE + RUN + f"{commands}\n"
        text += f'print "{name}_atoms = $(atoms)"\n{show(name)}'
        text += fresh(pairs, f"{name}_fresh") + "clear\n"
    done = completed(text, n_ranks, tmp_path)
    for name, (_, change) in CHANGES.items():
        assert done.values(f"{name}_atoms")[0] == 64 + change, name
        assert_same_state(done, name, f"{name}_fresh")


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_gaps_in_the_ids(archives, n_ranks: int, tmp_path: Path):
    """delete_atoms leaves non-consecutive IDs: the energy is that of the formula for who is left."""
    pairs, atoms = pair(archives["message", "float64"]), solid(mixed=True)
    text = start(atoms, tmp_path) + pairs + STATE + RUN
    text += f"delete_atoms random count 24 yes all NULL 5 compress no\nrun 20\n{show('now')}"
    text += "write_dump all custom dump.end id type x y z modify sort id format float %.17g\n"
    done = completed(text, n_ranks, tmp_path)
    left = read_dump(tmp_path / "dump.end", atoms.cell)
    assert len(left) == 40
    want = expected("message", left)
    assert done.values("now")[0] == pytest.approx(want["atom_energies"].sum(), abs=1e-9)
    assert done.values("now")[1] == pytest.approx(np.linalg.norm(want["forces"]), abs=1e-9)


@pytest.mark.parametrize("map_hash", [False, True])
def test_ids_up_to_two_billion(archives, map_hash: bool, tmp_path: Path):
    """IDs far apart need no table over all of them; the largest 32-bit ID works."""
    pairs, atoms = pair(archives["message", "float64"]), solid((4, 4, 2))
    text = start(atoms, tmp_path, "atom_modify map hash" if map_hash else "")
    lines = (tmp_path / "data.test").read_text().splitlines()
    begin = lines.index("Atoms # atomic") + 2
    ids = np.random.default_rng(0).integers(1, 2**31 - 2, len(atoms))
    for k, i in enumerate(ids):
        lines[begin + k] = f"{i} {lines[begin + k].split(' ', 1)[1]}"
    (tmp_path / "data.test").write_text("\n".join(lines) + "\n")
    done = completed(text + pairs + STATE + f"run 0\n{show('now')}", 2, tmp_path)
    want = expected("message", atoms)
    assert done.values("now")[0] == pytest.approx(want["atom_energies"].sum(), abs=1e-9)
    assert done.values("now")[1] == pytest.approx(np.linalg.norm(want["forces"]), abs=1e-9)
