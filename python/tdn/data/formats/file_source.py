"""Base class of sources that read one file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.source_base import Source, hashed, stamp
from tdn.errors import TDNError


class FileSource(Source):
    """One file; only its path is pickled, every process rebuilds the rest."""

    def __init__(self, path: Path, keys: LabelKeys = DEFAULT_KEYS):
        self.path, self.keys = path, keys
        self._stamp = stamp(path)
        if len(self) == 0:
            raise TDNError(f"data file '{path}' holds no structures; give a file with at least one")

    def name_of(self, index: int) -> str:
        """Name of a structure, for messages."""
        return f"structure {index} of {self.path.name}"

    @property
    def file_names(self) -> list[str]:
        """Its name."""
        return [self.path.name]

    def fingerprint(self) -> str:
        """Hash of name, size and time of change, and of the names of the labels."""
        return hashed(type(self).__name__, self._stamp, asdict(self.keys))


def check_is_file(path: Path) -> None:
    """Refuse a folder."""
    if not path.is_file():
        raise TDNError(f"data '{path}' is a folder; give a file, or a folder of LMDB shards")
