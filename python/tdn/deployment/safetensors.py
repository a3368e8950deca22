"""Weights by name in the layout of safetensors, which C++ reads in a hundred lines (archive/safetensors.cpp).

Length of the header (8 bytes, little-endian), header (JSON: type, shape and offsets of each array), data. This module
replaces the library, of which nothing else is needed.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.errors import TDNError, quoted

Arrays = dict[str, NDArray[np.float64]]
#: Data begin at a multiple of this many bytes.
ALIGNMENT = 64
TYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}


def pack(arrays: Arrays) -> bytes:
    """One record of float64 arrays; those that float32 holds exactly take half the space."""
    header: dict[str, Any] = {}
    parts, begin = [], 0
    kinds = {name: "F32" if np.array_equal(array, array.astype("<f4")) else "F64" for name, array in arrays.items()}
    for name in sorted(arrays, key=lambda name: (kinds[name], name), reverse=True):  # F64 first: all stay aligned
        content = np.ascontiguousarray(arrays[name], TYPES[kinds[name]]).tobytes()
        end = begin + len(content)
        header[name] = {"dtype": kinds[name], "shape": list(np.shape(arrays[name])), "data_offsets": [begin, end]}
        parts.append(content)
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def unpack(record: bytes) -> Arrays:
    """The arrays of a record, float64.

    Raises:
        TDNError: the record does not have the form that :func:`pack` writes.
    """
    try:
        start = 8 + int.from_bytes(record[:8], "little")
        header, data = json.loads(record[8:start]), record[start:]
        return {name: _read(entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise TDNError(f"the weights cannot be read ({quoted(str(problem))}); deploy the model again") from None


def _read(entry: dict[str, Any], data: bytes) -> NDArray[np.float64]:
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"]).astype(np.float64)
