"""Sources of structures: joining, cutting, and opening what a user writes (a path, a list, a mapping with options)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdn.data.formats.registry import opener_of
from tdn.data.source_base import Source, added, hashed, locate
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.elements import SYMBOLS
from tdn.errors import TDNError

__all__ = ["Concatenation", "Source", "Subset", "open_source"]


class Concatenation(Source):
    """Several sources one after the other."""

    def __init__(self, sources: Sequence[Source]):
        self.sources = list(sources)
        self._ends = list(accumulate(len(source) for source in self.sources))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Structure:
        part, place = locate(self._ends, self.checked_index(index))
        return self.sources[part][place]

    @property
    def file_names(self) -> list[str]:
        """Names of all files."""
        return [name for source in self.sources for name in source.file_names]

    @property
    def left_out(self) -> dict[str, int]:
        """Sums over the sources."""
        return added(source.left_out for source in self.sources)

    def unread_labels(self) -> UnreadLabels:
        """Sums over the sources."""
        return sum((source.unread_labels() for source in self.sources), UnreadLabels())

    def one_atom_indices(self) -> NDArray[np.int64]:
        """Those of all sources."""
        first = [0, *self._ends]
        parts = [source.one_atom_indices() + start for source, start in zip(self.sources, first, strict=False)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def fingerprint(self) -> str:
        """Hash of the sources' hashes."""
        return hashed("concatenation", [source.fingerprint() for source in self.sources])

    def elements(self) -> tuple[str, ...]:
        """Union over the sources."""
        found = {symbol for source in self.sources for symbol in source.elements()}
        return tuple(sorted(found, key=SYMBOLS.index))

    def get_groups(self) -> NDArray[np.int64] | None:
        """Groups of all sources with different numbers; a structure without a group becomes a group by itself."""
        groups = [source.get_groups() for source in self.sources]
        if all(group is None for group in groups):
            return None
        numbered, first = [], 0
        for source, group in zip(self.sources, groups, strict=True):
            own = np.arange(len(source)) if group is None else np.unique(group, return_inverse=True)[1]
            numbered.append(own.astype(np.int64) + first)
            first += int(own.max(initial=-1)) + 1
        return np.concatenate(numbered)


class Subset(Source):
    """Chosen structures of a source, in the order given."""

    def __init__(self, source: Source, indices: ArrayLike):
        self.source = source
        self.indices = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < len(source):
            raise TDNError(f"a subset contains structure {self.indices.max()} of {len(source)}; give smaller indices")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Structure:
        return self.source[int(self.indices[self.checked_index(index)])]

    @property
    def file_names(self) -> list[str]:
        """Names of the source's files."""
        return self.source.file_names

    @property
    def left_out(self) -> dict[str, int]:
        """What the source left out; structures outside the subset are not counted."""
        return self.source.left_out

    def unread_labels(self) -> UnreadLabels:
        """Unread labels of the source."""
        return self.source.unread_labels()

    def one_atom_indices(self) -> NDArray[np.int64]:
        """Those of the source that are chosen."""
        return np.flatnonzero(np.isin(self.indices, self.source.one_atom_indices()))

    def fingerprint(self) -> str:
        """Hash of the source's hash and the indices."""
        return hashed("subset", self.source.fingerprint(), hashlib.sha256(self.indices.tobytes()).hexdigest())

    def get_groups(self) -> NDArray[np.int64] | None:
        """Groups of the chosen structures."""
        groups = self.source.get_groups()
        return None if groups is None else groups[self.indices]


def plain_path(text: str) -> Path:
    """Path with environment variables and the home folder expanded."""
    return Path(os.path.expandvars(text)).expanduser()


def open_source(
    spec: Any, resolve: Callable[[str], Path] = plain_path, options: Mapping[str, Any] | None = None
) -> Source:
    """Open what ``spec`` names.

    Args:
        spec: a path, a list of such specs, or a mapping with ``path``, optionally ``format`` (a name in
            ``tdn.data.formats.registry``; guessed from the file if not given) and the options of the format.
        resolve: converts a text to a path, for instance relative to a configuration's folder.
        options: options of the format, unless a spec gives its own.

    Raises:
        TDNError: the format or an option is unknown, or the file does not exist or cannot be read.
    """
    if isinstance(spec, (str, Path)):
        return open_path(resolve(str(spec)), None, dict(options or {}))
    if isinstance(spec, Mapping):
        own = dict(spec)
        path, format_name = own.pop("path", None), own.pop("format", None)
        if not isinstance(path, (str, Path)):
            raise TDNError(f"the data {own} have no path; add 'path: FILE'")
        return open_path(resolve(str(path)), format_name, {**(options or {}), **own})
    if isinstance(spec, Sequence) and spec:
        sources = [open_source(part, resolve, options) for part in spec]
        return sources[0] if len(sources) == 1 else Concatenation(sources)
    raise TDNError(f"data are given as {spec!r}; give a path, a list of paths or a mapping with 'path'")


def open_path(path: Path, format_name: str | None, options: dict[str, Any]) -> Source:
    """Open one path; its format is given or guessed."""
    if not path.exists():
        raise TDNError(f"data file '{path}' does not exist; correct the path (environment variables are expanded)")
    return opener_of(path, format_name, options)(path, **options)
