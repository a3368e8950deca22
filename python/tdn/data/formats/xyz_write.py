"""Writing extended XYZ."""

from __future__ import annotations

from pathlib import Path

from tdn.data.progress import tracked
from tdn.data.source_base import Source
from tdn.files import write_atomically


def write_xyz(source: Source, target: Path, overwrite: bool) -> None:
    """Write structures in order; ASE writes positions and forces with eight decimals."""
    from ase.io import write as write_atoms

    def write(path: str) -> None:
        with open(path, "w") as file:
            for index in tracked(range(len(source)), len(source), "converting"):
                write_atoms(file, source[index].to_atoms(), format="extxyz")

    try:
        write_atomically(write, target)
    finally:  # leave no unfinished file
        target.with_suffix(target.suffix + ".part").unlink(missing_ok=True)
