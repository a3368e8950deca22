"""Files that ASE reads: ASE databases row by row, anything else as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.file_source import FileSource, check_is_file
from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.source_base import Source
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels, unread_of
from tdn.errors import TDNError
from tdn.files import first_line

if TYPE_CHECKING:
    from ase import Atoms

#: Number of structures whose names are examined.
LOOKED_AT = 20_000


class AseSource(FileSource):
    """One file that ASE reads."""

    def __getitem__(self, index: int) -> Structure:
        index = self.checked_index(index)
        atoms = self.atoms(index)
        try:
            return Structure.from_atoms(atoms, self.name_of(index), self.keys)
        except TDNError:
            raise
        except Exception as problem:  # positions and constraints may be anything
            self.refuse(problem, index)

    def atoms(self, index: int) -> Atoms:
        """An ASE structure."""
        raise NotImplementedError

    def first_atoms(self) -> Iterable[Atoms]:
        """The first structures, one after the other."""
        raise NotImplementedError

    def unread_labels(self) -> UnreadLabels:
        """Of the first 20,000 structures."""
        return unread_of(islice(self.first_atoms(), LOOKED_AT), self.keys)

    def refuse(self, problem: Exception, index: int | None = None) -> NoReturn:
        """Say that ASE cannot read the file, or one structure of it."""
        where = "" if index is None else f"{self.name_of(index)}: "
        raise TDNError(
            f"{where}data file '{self.path}' cannot be read by ASE: {first_line(problem)}; write it as extended XYZ"
        ) from problem


class FramesSource(AseSource):
    """Any other format of ASE: all frames are read at the first access and stay in memory."""

    @cached_property
    def frames(self) -> list[Atoms]:
        """Every structure of the file."""
        try:
            return self.read_frames()
        except Exception as problem:  # ASE's readers raise anything
            self.refuse(problem)

    def read_frames(self) -> list[Atoms]:
        """Read the whole file."""
        from ase.io import read

        frames = read(self.path, index=":")
        return frames if isinstance(frames, list) else [frames]

    def __len__(self) -> int:
        return len(self.frames)

    def atoms(self, index: int) -> Atoms:
        """A frame in memory."""
        return self.frames[index]

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them."""
        return np.array([index for index, atoms in enumerate(self.frames) if len(atoms) == 1], dtype=np.int64)

    def first_atoms(self) -> Iterable[Atoms]:
        """All frames, which are in memory."""
        return self.frames

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "frames"}


class JsonSource(FramesSource):
    """ASE database in JSON, which is a single text."""

    def read_frames(self) -> list[Atoms]:
        """Read every row, with its key-value pairs and data."""
        from ase.db import connect

        rows = connect(self.path, type="json", serial=True).select()
        return [row.toatoms(add_additional_information=True) for row in rows]


class DatabaseSource(AseSource):
    """SQLite database of ASE: the row numbers are kept in memory, rows are read on demand."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        from ase.db import connect

        self.path = path
        try:
            self.ids = ids_of(connect(path, serial=True))
            self.one_atom = np.flatnonzero(np.isin(self.ids, ids_of(connect(path, serial=True), "natoms=1")))
        except Exception as problem:  # whatever sqlite3 finds
            self.refuse(problem)
        super().__init__(path, keys)

    def __len__(self) -> int:
        return len(self.ids)

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them: the database has the number of atoms of each row."""
        return self.one_atom

    def first_atoms(self) -> Iterable[Atoms]:
        """Row by row, with the file opened once."""
        from ase.db import connect

        try:
            for row in connect(self.path, serial=True).select(limit=LOOKED_AT):
                yield row.toatoms(add_additional_information=True)
        except Exception as problem:  # whatever a row holds
            self.refuse(problem)

    def atoms(self, index: int) -> Atoms:
        """Read one row."""
        from ase.db import connect

        # ASE opens and closes the file at each call, so nothing stays open across a fork.
        try:
            return connect(self.path, serial=True).get_atoms(int(self.ids[index]), add_additional_information=True)
        except Exception as problem:  # whatever a row holds
            self.refuse(problem, index)


def ids_of(database: Any, selection: str | None = None) -> NDArray[np.int64]:
    """Numbers of the rows of a database, of all or of some."""
    rows = database.select(selection, columns=["id"], include_data=False)
    return np.array([row.id for row in rows], dtype=np.int64)


def open_frames(path: Path, **options: Any) -> Source:
    """Anything that ASE reads, as a whole; options: names of the labels."""
    check_is_file(path)
    return FramesSource(path, LabelKeys.from_options(options))


def open_database(path: Path, **options: Any) -> Source:
    """Database of ASE: SQLite and LMDB row by row, JSON as a whole; options: names of the labels."""
    if path.is_dir() or path.suffix in (".lmdb", ".aselmdb"):
        from tdn.data.formats.oc import open_oc

        return open_oc(path, **options)
    keys = LabelKeys.from_options(options)
    return JsonSource(path, keys) if path.suffix == ".json" else DatabaseSource(path, keys)
