"""LMDB files: reading that survives forks and pickling, detecting the contents, writing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from tdn.data.source_base import stamp
from tdn.errors import TDNError
from tdn.files import check_target, first_line

#: Bytes that a new file may hold before its map is enlarged.
FIRST_MAP = 2**20


@dataclass(frozen=True)
class Opened:
    """An environment, the process that opened it, and the file it was opened for."""

    environment: lmdb.Environment
    process: int
    file: tuple[int, int]  #: device and inode: a file may be replaced by another of the same name


#: Open environments by real path: LMDB allows one environment for each file in a process.
_opened: dict[str, Opened] = {}


def environment_of(path: Path) -> lmdb.Environment:
    """Environment of this process for a file, shared by its readers.

    Raises:
        TDNError: the file is not an LMDB file.
    """
    name, state = os.path.realpath(path), os.stat(path)
    found = _opened.get(name)
    file = (state.st_dev, state.st_ino)
    if found is not None and (found.process, found.file) == (os.getpid(), file):
        return found.environment
    if found is not None:  # inherited through a fork, or of a file that was replaced
        found.environment.close()
        del _opened[name]
    try:
        # no lock file beside the data and no read-ahead: access is random, and folders may be read-only
        environment = lmdb.open(name, subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
    except lmdb.Error as problem:
        raise TDNError(f"'{path}' cannot be read as LMDB ({first_line(problem)}); give an LMDB file") from None
    _opened[name] = Opened(environment, os.getpid(), file)
    return environment


class LmdbFile:
    """Keys and values of one file, opened when first used in a process."""

    def __init__(self, path: Path):
        self.path = path
        self._environment: lmdb.Environment | None = None
        self._process = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_environment": None, "_process": -1}

    @property
    def environment(self) -> lmdb.Environment:
        """The environment of this process: it must not cross a fork."""
        if self._environment is None or self._process != os.getpid():
            self._environment, self._process = environment_of(self.path), os.getpid()
        return self._environment

    def get(self, key: bytes) -> bytes | None:
        """Value of a key, None if it is missing."""
        with self.environment.begin() as transaction:
            return transaction.get(key)

    def first_keys(self, number: int) -> list[bytes]:
        """The first keys in LMDB's order."""
        with self.environment.begin() as transaction:
            return [bytes(key) for key in islice(transaction.cursor().iternext(values=False), number)]

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in LMDB's order, from the first or from the key after ``after``."""
        with self.environment.begin() as transaction:
            cursor = transaction.cursor()
            found = cursor.first() if after is None else cursor.set_range(after)
            if found and after is not None and bytes(cursor.key()) == after:
                found = cursor.next()
            while found:
                yield bytes(cursor.key()), bytes(cursor.value())
                found = cursor.next()

    def all_keys(self) -> Iterator[bytes]:
        """All keys in LMDB's order."""
        with self.environment.begin() as transaction:
            yield from map(bytes, transaction.cursor().iternext(values=False))

    def count(self) -> int:
        """Number of entries."""
        return int(self.environment.stat()["entries"])

    def stamp(self) -> list[Any]:
        """Name, size, time of change and number of entries."""
        inner = self.path / "data.mdb"
        return [*stamp(inner if inner.is_file() else self.path), self.count()]


def shards_of(path: Path, endings: tuple[str, ...] = (".lmdb", ".aselmdb")) -> list[Path]:
    """The file itself or, for a folder, the LMDB files in it, sorted by name."""
    if path.is_file() or (path / "data.mdb").is_file():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in endings) if path.is_dir() else []
    if not found:
        raise TDNError(
            f"'{path}' is neither an LMDB file nor a folder with {' or '.join(endings)} files; correct the path"
        )
    return found


def kind_of(path: Path) -> str:
    """Format of the data in an LMDB file or a folder of them, by its first keys: pubchemqcr or oc."""
    file = LmdbFile(shards_of(path)[0])
    keys = file.first_keys(4)
    if not keys:
        raise TDNError(f"'{file.path}' holds no entries; give a file with structures")
    if all(len(key) == 9 and key.isdigit() for key in keys):
        return "pubchemqcr"
    if any(key.isdigit() or key in (b"length", b"nextid", b"metadata", b"deleted_ids") for key in keys):
        return "oc"
    raise TDNError(
        f"'{file.path}' has keys such as {keys[0]!r}, which are neither those of PubChemQCR nor of OC20; "
        "name its format with 'format: pubchemqcr' or 'format: oc'"
    )


def write_lmdb(path: str | Path, entries: Iterable[tuple[bytes, bytes]], overwrite: bool = False) -> int:
    """Write a file of keys and values, which is put in place when it is complete.

    Returns:
        Number of entries.
    """
    target = check_target(path, overwrite)
    count = 0
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing") as folder:
        temporary = Path(folder) / "data"
        # the map grows with the content: a file as large as the map would be reserved on some file systems
        with lmdb.open(str(temporary), subdir=False, map_size=FIRST_MAP, lock=False, sync=False) as environment:
            for key, value in entries:
                put(environment, key, value)
                count += 1
        compact(temporary, target)
    return count


def put(environment: lmdb.Environment, key: bytes, value: bytes) -> None:
    """Add one entry, enlarging the map as often as it takes."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def compact(source: Path, target: Path) -> None:
    """Put a finished file in place without its unused pages."""
    whole = source.with_name("compact")
    with lmdb.open(str(source), subdir=False, readonly=True, lock=False) as environment:
        environment.copy(str(whole), compact=True)
    os.replace(whole, target)
