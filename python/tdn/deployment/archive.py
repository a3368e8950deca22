"""Reading and verifying archives, without loading their module."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from tdn import schema
from tdn.deployment.weights_record import check_record
from tdn.errors import TDNError, quoted

Records = dict[str, bytes]


def is_archive(path: Path) -> bool:
    """True if the file has a label (this version may still refuse it)."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/extra/" + schema.METADATA_RECORD) for name in file.namelist())
    except Exception:  # zipfile raises many kinds for a file that is not an archive
        return False


def read_label(path: str | Path) -> dict[str, Any]:
    """Label of an archive, after all checks of :func:`read_archive`."""
    return read_archive(path)[0]


def read_archive(path: str | Path) -> tuple[dict[str, Any], Records]:
    """Label and records of an archive, after checking checksums, format, version, fields and the hash of the weights.

    Raises:
        TDNError: the file is not an archive, is truncated or damaged, newer than this package, or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"archive '{path}' does not exist; make one with 'tdn deploy CHECKPOINT -o {path}'")
    records = _read_records(path)
    text = records.get("extra/" + schema.METADATA_RECORD)
    if text is None:
        raise TDNError(f"'{path}' has no record {schema.METADATA_RECORD}; make an archive with 'tdn deploy'")
    try:
        label = json.loads(text)
    except ValueError:  # also of text that is not UTF-8
        label = None
    if not isinstance(label, dict):
        raise TDNError(f"the label of '{path}' is not a JSON object; deploy the model again")
    _check(label, path)
    if label[schema.VERSION] > 1:
        check_record(label, records.get("extra/" + schema.WEIGHTS_RECORD), path)
    return label, records


def _read_records(path: Path) -> Records:
    """Every record by its name below the common folder; zipfile verifies what it reads."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            records = {name.partition("/")[2]: file.read(name) for name in names}
    except Exception as problem:  # zipfile raises many kinds for a damaged file
        words = str(problem) or type(problem).__name__  # contains names of records, however broken
        reason = quoted(words.encode("ascii", "replace").decode())
        raise TDNError(f"'{path}' is not a complete archive ({reason}); copy it again or deploy it again") from None
    if len(records) != len(names) or len({name.partition("/")[0] for name in names}) > 1:
        raise TDNError(f"'{path}' is not a complete archive (records share a name); copy it again or deploy it again")
    return records


def _check(label: dict[str, Any], path: Path) -> None:
    if label.get(schema.FORMAT) != schema.FORMAT_NAME:
        found = quoted(label.get(schema.FORMAT))
        raise TDNError(f"'{path}' has format {found}, not '{schema.FORMAT_NAME}'; deploy it again")
    version = label.get(schema.VERSION)
    if not isinstance(version, int) or not 1 <= version <= schema.FORMAT_VERSION:
        shown = version if isinstance(version, int) or version is None else quoted(version)
        raise TDNError(
            f"'{path}' has archive format {shown} and this tdn reads up to {schema.FORMAT_VERSION}; update tdn"
        )
    required = schema.REQUIRED_FIELDS + ((schema.WEIGHTS_SHA256, schema.WEIGHT_NAMES) if version > 1 else ())
    missing = [name for name in required if name not in label]
    if missing:
        raise TDNError(f"the label of '{path}' lacks {', '.join(missing)}; deploy the model again")
