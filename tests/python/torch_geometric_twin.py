"""Classes that pickle as those of torch_geometric do, old and new, so that tests need no torch_geometric."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch


def named(name: str, module: str) -> type:
    """An empty class with the module and name of another."""
    return type(name, (), {"__module__": module})


OldData = named("Data", "torch_geometric.data.data")
NewStorage = named("GlobalStorage", "torch_geometric.data.storage")
EdgeAttribute = named("DataEdgeAttr", "torch_geometric.data.data")


@contextmanager
def modules() -> Iterator[None]:
    """Let ``pickle.dumps`` find the classes where their modules say."""
    fakes = {name: ModuleType(name) for name in ("torch_geometric.data.data", "torch_geometric.data.storage")}
    for kind in (OldData, NewStorage, EdgeAttribute):
        setattr(fakes[kind.__module__], kind.__name__, kind)
    parents = {name: ModuleType(name) for name in ("torch_geometric", "torch_geometric.data")}
    with patch.dict(sys.modules, {**parents, **fakes}):
        yield


def old_graph(protocol: int = 4, **fields: Any) -> bytes:
    """Pickle as of torch_geometric 1: the fields are in ``__dict__``."""
    data = OldData()
    data.__dict__.update(x=None, edge_index=None, **fields)
    with modules():
        return pickle.dumps(data, protocol)


def new_graph(protocol: int = 4, **fields: Any) -> bytes:
    """Pickle as of torch_geometric 2: the fields are in a storage that refers back to the graph."""
    data, storage = OldData(), NewStorage()
    storage.__dict__.update(_mapping=fields, _parent=data)
    data.__dict__.update(_edge_attr_cls=EdgeAttribute, _store=storage)
    with modules():
        return pickle.dumps(data, protocol)
