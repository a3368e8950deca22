"""Reads foreign pickles without running the code in them: plain values, and graphs of torch_geometric.

A pickle is a program that may call anything importable. Here it can name only what is in the tables below, and each
entry is an object of this module, so neither torch_geometric nor torch is imported and nothing else is ever called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.errors import TDNError, quoted, shown
from tdn.files import first_line, reason_of


class Call:
    """A function that a pickle may call; unlike a plain function it cannot be changed by the pickle."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise TDNError("it tries to change a function")


class NumberType:
    """Pickled numpy data type; only kinds whose bytes are numbers or text."""

    def __init__(self, name: Any = "", *_: Any):
        self.dtype = np.dtype(name if isinstance(name, str) else "V")
        if self.dtype.kind not in "biufcSU":
            raise TDNError(f"it has numpy data of type {name!r}, which are not numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class ArrayRecord:
    """Pickled numpy array; ``numpy.asarray`` converts it to an array."""

    def __init__(self, *_: Any):
        self.value: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, number_type, fortran, content = state
        self.value = array_of(content, number_type, shape, "F" if fortran else "C")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.value.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.value, dtype=dtype)


class TensorRecord:
    """Pickled torch tensor, which ``numpy.asarray`` decodes with torch's reader for weights."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any):
        if not isinstance(storage, StorageRecord):
            raise TDNError(f"it has a tensor whose numbers are a {type(storage).__name__}")
        self.storage, self.offset = storage, int(offset)
        self.size, self.stride = tuple(size), tuple(stride)

    def __setstate__(self, state: Any) -> None:
        raise TDNError("it has a tensor with additional state")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import torch

        try:
            storage = torch.load(io.BytesIO(self.storage.content), map_location="cpu", weights_only=True)
        except Exception as problem:  # torch.load raises many kinds
            raise TDNError(f"it has a tensor that torch does not read ({reason_of(problem)})") from None
        numbers = torch.tensor([], dtype=storage.dtype).set_(storage)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if min((self.offset, *self.size, *self.stride)) < 0 or (0 not in self.size and last >= len(numbers)):
            raise TDNError(f"it has a tensor of shape {self.size} over {len(numbers)} numbers")
        return np.array(numbers.as_strided(self.size, self.stride, self.offset).numpy(), dtype=dtype)


class StorageRecord:
    """The numbers of a tensor, as ``torch.save`` wrote them."""

    def __init__(self, content: Any):
        if not isinstance(content, bytes):
            raise TDNError(f"it has a tensor whose numbers are a {type(content).__name__}")
        self.content = content

    def __setstate__(self, state: Any) -> None:
        raise TDNError("it has numbers of a tensor with additional state")


class ObjectRecord:
    """Attributes of an object, without its class."""

    attributes: dict[str, Any]

    def __new__(cls, *_: Any) -> ObjectRecord:
        """A pickle creates objects without calling ``__init__``."""
        record = super().__new__(cls)
        record.attributes = {}
        return record

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            self.attributes.update(part or {})


def array_of(content: Any, number_type: Any, shape: Any, order: str = "C") -> NDArray[Any]:
    """Array from its bytes, as numpy pickles them."""
    if not isinstance(number_type, NumberType) or not isinstance(content, (bytes, bytearray)):
        raise TDNError("it has an array of numpy that does not hold numbers")
    return np.frombuffer(bytes(content), number_type.dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload]


def scalar_of(number_type: Any, content: Any) -> Any:
    """numpy scalar from its bytes."""
    return array_of(content, number_type, ()).item()


def encoded(text: Any, encoding: Any) -> bytes:
    """Bytes as protocols 0 to 2 write them."""
    if encoding != "latin1":
        raise TDNError(f"it has bytes encoded as {encoding!r}")
    return text.encode("latin1")


def reconstructed(kind: Any, *_: Any) -> Any:
    """Object as protocols 0 and 1 write it."""
    if kind is not ObjectRecord:
        raise TDNError("it creates an object in a forbidden way")
    return ObjectRecord()


#: Names (module, name) allowed in a pickle of plain values, and the objects that replace them.
PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Call(dict),
    ("_codecs", "encode"): Call(encoded),
    **{(module, kind.__name__): Call(kind) for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
    ("numpy", "dtype"): Call(NumberType),
    ("numpy", "ndarray"): ArrayRecord,
    **{(f"numpy.{core}.multiarray", "scalar"): Call(scalar_of) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Call(ArrayRecord) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Call(array_of) for core in ("core", "_core")},
}

_GRAPH_CLASSES = {
    "torch_geometric.data.data": ("Data", "DataEdgeAttr", "DataTensorAttr"),
    "torch_geometric.data": ("Data",),
    "torch_geometric.data.storage": ("BaseStorage", "NodeStorage", "EdgeStorage", "GlobalStorage"),
}

#: Further names allowed in a pickled graph of torch_geometric.
GRAPH: dict[tuple[str, str], Any] = {
    **PLAIN,
    ("copyreg", "_reconstructor"): Call(reconstructed),
    ("copy_reg", "_reconstructor"): Call(reconstructed),
    ("builtins", "object"): ObjectRecord,
    ("__builtin__", "object"): ObjectRecord,
    ("torch._utils", "_rebuild_tensor_v2"): Call(TensorRecord),
    ("torch.storage", "_load_from_bytes"): Call(StorageRecord),
    ("torch", "Size"): Call(tuple),
    **{(module, name): ObjectRecord for module, names in _GRAPH_CLASSES.items() for name in names},
}


class Unpickler(pickle.Unpickler):
    """Unpickler that finds only what is in its table."""

    def __init__(self, content: bytes, allowed: Mapping[tuple[str, str], Any]):
        super().__init__(io.BytesIO(content))
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """The object that replaces a global name."""
        if (module, name) not in self._allowed:
            raise TDNError(f"it holds a Python object {shown(f'{module}.{name}')}, which could run code when read")
        return self._allowed[module, name]

    def persistent_load(self, identity: Any) -> Any:
        """Refuse references to something outside of the pickle."""
        raise TDNError(f"it refers to something outside of itself ({quoted(identity)})")


def load_plain(content: bytes, what: str) -> Any:
    """Unpickle numbers, text and containers.

    Args:
        content: the pickle.
        what: its origin, the subject of an error's sentence.

    Raises:
        TDNError: it holds anything else, or is not a pickle.
    """
    return _load(content, what, PLAIN, "plain lists, dictionaries and numbers")


def load_graph(content: bytes, what: str) -> dict[str, Any]:
    """Attributes of a pickled ``torch_geometric.data.Data``, old (``__dict__``) or new (``_store``); tensors as arrays.

    Arguments and errors as in :func:`load_plain`. A tensor is decoded by ``numpy.asarray``.
    """
    found = _load(content, what, GRAPH, "graphs of torch_geometric with tensors and numbers")
    if not isinstance(found, ObjectRecord):
        raise TDNError(
            f"{what} is a {type(found).__name__}, not a graph of torch_geometric; give files of OC20 or OC22"
        )
    store = found.attributes.get("_store")
    return store.attributes.get("_mapping", {}) if isinstance(store, ObjectRecord) else found.attributes


def _load(content: bytes, what: str, allowed: Mapping[tuple[str, str], Any], cure: str) -> Any:
    try:
        return Unpickler(content, allowed).load()
    except TDNError as problem:
        raise TDNError(f"{what} is not unpickled: {problem}; give files that hold {cure} only") from None
    except Exception as problem:  # a broken pickle can raise anything
        raise TDNError(f"{what} is not a readable pickle ({first_line(problem)}); give a complete file") from None
