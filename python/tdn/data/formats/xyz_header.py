"""The comment line of an extended XYZ frame: its entries, its columns, its cell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdn.errors import TDNError, quoted

#: ``key``, ``key=value``, ``key = value``; keys and values may be quoted, values may also be in brackets.
_ENTRY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|[^\s="]+) (?:\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S*))?""", re.VERBOSE
)
_QUOTES = {'"': '"', "'": "'", "{": "}", "[": "]"}
#: Keys of the format itself.
_OWN = ("Lattice", "Properties", "pbc")
_FLAGS = {
    **dict.fromkeys(("T", "True", "TRUE", "true", "1"), True),
    **dict.fromkeys(("F", "False", "FALSE", "false", "0"), False),
}
#: Alternative names of columns.
_ALIASES = {"species": "species", "symbols": "species", "pos": "pos", "positions": "pos", "Z": "Z", "numbers": "Z"}


class Column(NamedTuple):
    """Columns of one property."""

    kind: str  #: R, I, S or L
    first: int
    width: int


def entries_of(line: str) -> list[tuple[str, str]]:
    """Keys and values as written, without quotes; ``T`` for a key without a value."""
    return [(unquoted(key), "T" if value is None else unquoted(value)) for key, value in pairs_of(line)]


def pairs_of(line: str) -> list[tuple[str, str | None]]:
    """Keys and values with their quotes."""
    return [(match[1], match[2]) for match in _ENTRY.finditer(line)]


def unquoted(text: str) -> str:
    """Text without the quotes or brackets around it."""
    if len(text) < 2 or _QUOTES.get(text[0]) != text[-1]:
        return text
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner) if text[0] == '"' else inner


def header_of(line: str, used: tuple[str, ...]) -> dict[str, str]:
    """Entries by key.

    Args:
        line: the comment line.
        used: keys besides those of the format that will be read; they may not be given twice.

    Raises:
        TDNError: a key that is read is given twice, or a key of the format is in other capitals.
    """
    found: dict[str, str] = {}
    for key, value in entries_of(line):
        if key in found and found[key] != value and key in (*_OWN, *used):
            raise TDNError(f"{key} is given twice, as {quoted(found[key])} and as {quoted(value)}; keep one")
        found[key] = value
    for own in _OWN:
        written = next((key for key in found if key != own and key.lower() == own.lower()), None)
        if own not in found and written is not None and found[written] != "T":
            raise TDNError(f"{quoted(written)} is not read; write it as {own}")
    return found


def value_of(text: str) -> Any:
    """Numbers of an entry as a list, or the text if it is something else."""
    if text.startswith("_JSON "):
        try:
            return json.loads(text.removeprefix("_JSON "))
        except (ValueError, RecursionError):
            return text
    words = [word for word in re.split(r"[\s,]+", text) if word]
    try:
        return [number(word) for word in words] if words else text
    except ValueError:
        return text


def number(word: str) -> float:
    """A number as Python reads it, but without underscores between the digits."""
    if "_" in word:
        raise ValueError(f"{word!r} is not a number")
    return float(word)


def cell_of(header: Mapping[str, str]) -> NDArray[np.float64] | None:
    """Cell vectors as rows (3, 3), None without ``Lattice``."""
    if "Lattice" not in header:
        return None
    values = value_of(header["Lattice"])
    if not isinstance(values, list) or np.shape(values) != (9,):
        raise TDNError(f"Lattice is {quoted(header['Lattice'])}, not 9 numbers; give three vectors of three components")
    if not np.isfinite(values).all():
        raise TDNError(f"Lattice is {quoted(header['Lattice'])}, which is not finite; give three vectors")
    return np.array(values, dtype=np.float64).reshape(3, 3)


def periods_of(header: Mapping[str, str], default: bool) -> NDArray[np.bool_]:
    """Periodic directions (3,): by default all with a ``Lattice`` and none without; ``pbc`` overrides."""
    words = header.get("pbc", "T" if default else "F").replace(",", " ").split()
    if len(words) not in (1, 3) or any(word not in _FLAGS for word in words):
        raise TDNError(f"pbc is {quoted(header.get('pbc', ''))}; write three of T and F")
    return np.array([_FLAGS[word] for word in words] * (3 // len(words)), dtype=bool)


@lru_cache(maxsize=256)
def columns_of(properties: str | None) -> dict[str, Column]:
    """Columns by name from ``Properties``, those of plain XYZ if there are none.

    Raises:
        TDNError: it is not a list of ``name:type:count``, or has no species or no positions.
    """
    if properties is None:
        return {"species": Column("S", 0, 1), "pos": Column("R", 1, 3)}
    columns: dict[str, Column] = {}
    words, first = properties.split(":"), 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=False):
        if not name or kind not in ("R", "I", "S", "L") or not re.fullmatch(r"[1-9][0-9]{0,4}", count):
            raise TDNError(
                f"Properties has {quoted(':'.join((name, kind, count)))}; write name:type:count with type R, I, S or L"
            )
        name = _ALIASES.get(name, name)
        if name in columns:
            raise TDNError(f"Properties names {quoted(name)} twice; keep one")
        columns[name] = Column(kind, first, int(count))
        first += int(count)
    if len(words) % 3:
        raise TDNError(f"Properties is {quoted(properties)}, not a list of name:type:count; write species:S:1:pos:R:3")
    check_columns(columns, properties)
    return columns


def check_columns(columns: Mapping[str, Column], properties: str) -> None:
    """Refuse columns without an element or without positions."""
    element = columns.get("Z") or columns.get("species")
    if element is None or element.width != 1 or columns.get("pos", Column("R", 0, 0))[::2] != ("R", 3):
        raise TDNError(f"Properties is {quoted(properties)}; it must have species:S:1 (or Z:I:1) and pos:R:3")
