"""Files that ASE reads: extended XYZ frame by frame, ASE databases row by row, anything else as a whole."""

from __future__ import annotations

import io
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.source_base import Source, hashed, stamp
from tdn.data.structure import Structure
from tdn.errors import TDNError
from tdn.files import first_line

if TYPE_CHECKING:
    from ase import Atoms


class FileSource(Source):
    """One file; what is kept of it beside its path is made again in every process that asks for it."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        self.path, self.keys = path, keys
        self._stamp = stamp(path)
        if len(self) == 0:
            raise TDNError(f"data file '{path}' holds no structures; give a file with at least one")

    def __getitem__(self, index: int) -> Structure:
        index = self.checked_index(index)
        return Structure.from_atoms(self.atoms(index), f"structure {index} of {self.path.name}", self.keys)

    def atoms(self, index: int) -> Atoms:
        """Structure of ASE."""
        raise NotImplementedError

    @property
    def file_names(self) -> list[str]:
        """Its name."""
        return [self.path.name]

    def fingerprint(self) -> str:
        """Hash of name, size and time of change, and of the names of the labels."""
        return hashed(type(self).__name__, self._stamp, asdict(self.keys))

    def refuse(self, problem: Exception) -> NoReturn:
        """Say that ASE cannot read the file."""
        raise TDNError(
            f"data file '{self.path}' cannot be read by ASE: {first_line(problem)}; write it as extended XYZ"
        ) from problem


class XyzSource(FileSource):
    """Extended XYZ: the places of the frames are kept, 8 bytes each, and a frame is parsed when it is asked for."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        try:
            self.offsets = frame_offsets(path)
        except ValueError as problem:
            self.path = path
            self.refuse(problem)
        super().__init__(path, keys)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def atoms(self, index: int) -> Atoms:
        """Parse one frame."""
        from ase.io import read

        start, end = self.offsets[index : index + 2].tolist()
        with open(self.path, "rb") as file:
            file.seek(start)
            text = file.read(end - start).decode("utf-8", errors="replace")
        try:
            (frame,) = read(io.StringIO(text), format="extxyz", index=":")
            return frame
        except Exception as problem:  # ASE's readers raise anything
            self.refuse(problem)


class FramesSource(FileSource):
    """Any other format of ASE: all frames are read when the first is asked for, and stay in memory."""

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
        """A frame that was read."""
        return self.frames[index]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "frames"}


class JsonSource(FramesSource):
    """Database of ASE in JSON, which is one text."""

    def read_frames(self) -> list[Atoms]:
        """Read every row, with its key-value pairs and data."""
        from ase.db import connect

        rows = connect(self.path, type="json", serial=True).select()
        return [row.toatoms(add_additional_information=True) for row in rows]


class DatabaseSource(FileSource):
    """SQLite database of ASE: the numbers of its rows are kept, a row is read when it is asked for."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        from ase.db import connect

        self.path = path
        try:
            rows = connect(path, serial=True).select(columns=["id"], include_data=False)
            self.ids = np.array([row.id for row in rows], dtype=np.int64)
        except Exception as problem:  # whatever sqlite3 finds
            self.refuse(problem)
        super().__init__(path, keys)

    def __len__(self) -> int:
        return len(self.ids)

    def atoms(self, index: int) -> Atoms:
        """Read one row."""
        from ase.db import connect

        # ASE opens and closes the file at each call: nothing of it stays open over a fork.
        return connect(self.path, serial=True).get_atoms(int(self.ids[index]), add_additional_information=True)


def open_frames(path: Path, **options: Any) -> Source:
    """Extended XYZ with random access, anything else that ASE reads as a whole; options: names of the labels."""
    if not path.is_file():
        raise TDNError(f"data '{path}' is a folder; give a file, or a folder of LMDB shards")
    keys = LabelKeys.from_options(options)
    return XyzSource(path, keys) if path.suffix in (".xyz", ".extxyz") else FramesSource(path, keys)


def open_database(path: Path, **options: Any) -> Source:
    """Database of ASE: SQLite and LMDB row by row, JSON as a whole; options: names of the labels."""
    if path.is_dir() or path.suffix in (".lmdb", ".aselmdb"):
        from tdn.data.formats.oc import open_oc

        return open_oc(path, **options)
    keys = LabelKeys.from_options(options)
    return JsonSource(path, keys) if path.suffix == ".json" else DatabaseSource(path, keys)


def frame_offsets(path: Path) -> NDArray[np.int64]:
    """Byte at which each frame of an extended XYZ file starts, and the one after the last, shape ``(n_frames + 1,)``.

    Raises:
        ValueError: a frame does not begin with its number of atoms or the file ends inside of one.
    """
    offsets = [0]
    with open(path, "rb") as file:
        line = file.readline()
        while line.strip():
            for _ in range(int(line) + 1):
                line = file.readline()
                if not line:
                    raise ValueError(f"it ends inside of structure {len(offsets) - 1}")
            end = file.tell()
            line = file.readline()
            while line.lstrip().startswith(b"VEC"):  # cell vectors after the atoms
                end = file.tell()
                line = file.readline()
            offsets.append(end)
    return np.array(offsets, dtype=np.int64)
