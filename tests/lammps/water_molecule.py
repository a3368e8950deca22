"""One molecule and a closed-form archive: what tests of refusals start from."""

from pathlib import Path

import ase
from lammps_runner import write_data

ATOMS = ase.Atoms("OH2", positions=[[4, 4, 4], [5, 4, 4], [4, 5, 4]], cell=[10, 10, 10], pbc=True)
MODEL = "message-float64.tdn.pt"


def fill(folder: Path, archives: dict[tuple[str, str], Path]) -> Path:
    """Write ``data.test`` (types H, O) and the archive ``MODEL`` into a folder and return it."""
    write_data(ATOMS, ["H", "O"], folder / "data.test")
    (folder / MODEL).write_bytes(archives["message", "float64"].read_bytes())
    return folder
