"""From any source of structures to a file in one of the formats that can be written."""

from __future__ import annotations

from pathlib import Path

from tdn.data.formats.registry import writer_of
from tdn.data.source_base import Source
from tdn.files import check_target


def convert(source: Source, target: Path, form: str | None = None, overwrite: bool = False) -> int:
    """Write all structures of a source.

    Args:
        source: the structures; those of one trajectory or relaxation stay together.
        target: the file.
        form: format to write (``tdn.data.formats.registry``); given by the extension of ``target`` if None.
        overwrite: replace an existing file.

    Returns:
        Number of structures.
    """
    write = writer_of(target, form)
    check_target(target, overwrite)
    write(source, target, overwrite)
    return len(source)
