"""What a label says about the weights in its archive; needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tdn import schema
from tdn.errors import TDNError, quoted


def label_fields(record: bytes | None, names: Iterable[str] = ()) -> dict[str, Any]:
    """Label fields for a weights record and its names, or for an archive without one."""
    digest = None if record is None else hashlib.sha256(record).hexdigest()
    return {schema.WEIGHTS_SHA256: digest, schema.WEIGHT_NAMES: sorted(names)}


def check_record(label: dict[str, Any], record: bytes | None, path: Path) -> None:
    """Check that the record belongs to the label and that this version knows all its weights.

    Raises:
        TDNError: the record is missing or unexpected, has another hash or an unknown name.
    """
    if label_fields(record)[schema.WEIGHTS_SHA256] != label[schema.WEIGHTS_SHA256]:
        raise TDNError(f"the weights of '{path}' are not those that its label was written for; deploy the model again")
    names = label[schema.WEIGHT_NAMES]
    for name in names if isinstance(names, list) else [names]:
        if not (isinstance(name, str) and schema.is_weight(name)):
            raise TDNError(f"'{path}' has a weight {quoted(name)} that this tdn does not know; update tdn")
