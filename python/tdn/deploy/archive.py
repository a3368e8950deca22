"""Reading the label of an archive, without loading its module."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from tdn import schema
from tdn.errors import TDNError


def is_archive(path: Path) -> bool:
    """True if the file carries a label (it may still be one this version refuses)."""
    try:
        return _label_entry(path) is not None
    except (OSError, zipfile.BadZipFile):
        return False


def _label_entry(path: Path) -> str | None:
    with zipfile.ZipFile(path) as file:
        ending = "/extra/" + schema.METADATA_RECORD
        return next((name for name in file.namelist() if name.endswith(ending)), None)


def read_label(path: str | Path) -> dict[str, Any]:
    """Label of an archive, checked: format, version, required fields.

    Raises:
        TDNError: not an archive, truncated, newer than this package, or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"archive '{path}' does not exist; make one with 'tdn deploy CHECKPOINT -o {path}'")
    try:
        entry = _label_entry(path)
        text = None
        if entry is not None:
            with zipfile.ZipFile(path) as file:
                text = file.read(entry).decode()
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as problem:
        raise TDNError(f"'{path}' is not a whole archive ({problem}); copy it again or deploy it anew") from None
    if text is None:
        raise TDNError(f"'{path}' has no record {schema.METADATA_RECORD}; make an archive with 'tdn deploy'")
    try:
        label = json.loads(text)
    except json.JSONDecodeError:
        label = None
    if not isinstance(label, dict):
        raise TDNError(f"the label of '{path}' is not a JSON object; deploy the model anew")
    _check(label, path)
    return label


def _check(label: dict[str, Any], path: Path) -> None:
    if label.get(schema.FORMAT) != schema.FORMAT_NAME:
        raise TDNError(f"'{path}' has format {label.get(schema.FORMAT)!r}, not '{schema.FORMAT_NAME}'; deploy it anew")
    version = label.get(schema.VERSION)
    if not isinstance(version, int) or version > schema.FORMAT_VERSION:
        raise TDNError(
            f"'{path}' has archive format {version} and this tdn reads up to {schema.FORMAT_VERSION}; update tdn"
        )
    missing = [name for name in schema.REQUIRED_FIELDS if name not in label]
    if missing:
        raise TDNError(f"the label of '{path}' lacks {', '.join(missing)}; deploy the model anew")
