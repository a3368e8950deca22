"""The formats of structures: one table for reading, converting, the command line and the manual.

A new format is a module in this folder and a line here. Its opener takes the path and the options and returns a
``Source``; its writer takes a ``Source``, the target and whether to replace a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tdn.errors import TDNError, suggest

#: Options of formats whose labels may have any name.
KEY_OPTIONS = ("energy_key", "forces_key", "stress_key")


@dataclass(frozen=True)
class Format:
    """Description of a format, which imports nothing."""

    files: str  #: description of its files, for the user
    opener: str | None = None  #: ``module:function`` in this folder, None if it is only written
    options: tuple[str, ...] = ()  #: of the opener
    suffixes: tuple[str, ...] = ()  #: of files that are read as this format
    writer: str | None = None  #: ``module:function`` in this folder, None if it is only read
    target_suffixes: tuple[str, ...] = ()  #: of files that are written in this format


FORMATS: dict[str, Format] = {
    "xyz": Format(
        "extended XYZ",
        "xyz_source:open_xyz",
        KEY_OPTIONS,
        (".xyz", ".extxyz"),
        "xyz_write:write_xyz",
        (".xyz", ".extxyz"),
    ),
    "ase_db": Format("databases of ASE", "ase_source:open_database", KEY_OPTIONS, (".db", ".json")),
    "ase": Format("anything else that ASE reads", "ase_source:open_frames", KEY_OPTIONS),
    "pubchemqcr": Format(
        "shards of PubChemQCR",
        "pubchemqcr:open_pubchemqcr",
        ("stage", "steps", "split", "ratios", "index_folder"),
        writer="pubchemqcr_write:write_source",
    ),
    "oc": Format("OC20 and OC22, rows or graphs", "oc:open_oc", ("task", *KEY_OPTIONS)),
    "oc-rows": Format("OC20 as rows of ASE", writer="oc_write:write_source_rows", target_suffixes=(".aselmdb",)),
    "oc-graphs": Format("OC20 as graphs", writer="oc_write:write_source_graphs"),
}
READABLE = {name: entry for name, entry in FORMATS.items() if entry.opener}
WRITABLE = {name: entry for name, entry in FORMATS.items() if entry.writer}


def imported(place: str) -> Any:
    """Function of a module in this folder."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"tdn.data.formats.{module}"), name)


def opener_of(path: Path, name: str | None, options: dict[str, Any]) -> Any:
    """Function that opens a file.

    Args:
        path: the file or folder.
        name: name of the format, None to guess it.
        options: options of the format; their names are checked.

    Raises:
        TDNError: the format or an option is unknown.
    """
    name = name or guess_format(path)
    if name not in READABLE:
        raise TDNError(f"unknown data format '{name}'{suggest(name, READABLE)}; known are {', '.join(READABLE)}")
    known = READABLE[name].options
    for option in options:
        if option not in known:
            raise TDNError(
                f"unknown option '{option}' of data '{path.name}' in format {name}{suggest(option, known)}; "
                f"known are {', '.join(('path', 'format', *known))}"
            )
    return imported(READABLE[name].opener or "")


def guess_format(path: Path) -> str:
    """Guess the format from the extension, for LMDB files from their keys."""
    if path.is_dir() or path.suffix in (".lmdb", ".aselmdb"):
        return imported("lmdb_file:kind_of")(path)
    return next((name for name, entry in READABLE.items() if path.suffix in entry.suffixes), "ase")


def writer_of(target: Path, name: str | None) -> Any:
    """Function that writes a format, which is given or follows from the extension of the target.

    Raises:
        TDNError: the format or the extension is unknown.
    """
    known = ", ".join(WRITABLE)
    name = name or next((one for one, entry in WRITABLE.items() if target.suffix in entry.target_suffixes), None)
    if name is None:
        raise TDNError(f"the extension of '{target}' does not give the format; name one of {known}")
    if name not in WRITABLE:
        raise TDNError(f"unknown format '{name}'{suggest(name, WRITABLE)}; known are {known}")
    return imported(WRITABLE[name].writer or "")
