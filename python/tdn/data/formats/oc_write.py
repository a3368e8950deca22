"""Writing files in both formats of OC20: small valid files of your own slabs."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdn.data.formats.lmdb_file import write_lmdb
from tdn.data.source_base import Source
from tdn.data.structure import Structure
from tdn.data.trajectories import in_order
from tdn.errors import TDNError


@dataclass(frozen=True)
class CatalystEntry:
    """Contents of one entry."""

    structure: Structure  #: with energy and forces (S2EF), or the initial one (IS2RE)
    system: int = 0  #: ``sid``, the relaxation to which it belongs
    frame: int = 0  #: ``fid``, its step in the relaxation
    relaxed: Structure | None = None  #: IS2RE: the last structure, with energy


def write_oc_rows(path: str | Path, entries: Iterable[CatalystEntry], overwrite: bool = False) -> int:
    """Write ASE rows, as fairchem's LMDB backend for ASE databases does (``*.aselmdb``).

    Returns:
        Number of structures.
    """

    def items() -> Iterator[tuple[bytes, bytes]]:
        number = 0
        for number, entry in enumerate(entries, start=1):
            yield str(number).encode(), compressed(row_of(entry))
        yield b"nextid", compressed(number + 1)

    return write_lmdb(path, items(), overwrite) - 1


def write_oc_graphs(path: str | Path, entries: Iterable[CatalystEntry], overwrite: bool = False) -> int:
    """Write pickled graphs, the older format (``*.lmdb``); numbers are float32 as in the published files.

    Returns:
        Number of structures.
    """

    def items() -> Iterator[tuple[bytes, bytes]]:
        number = -1
        for number, entry in enumerate(entries):
            yield str(number).encode(), pickled(graph_of(entry))
        yield b"length", pickle.dumps(number + 1, protocol=4)

    return write_lmdb(path, items(), overwrite) - 1


def write_source_rows(source: Source, target: Path, overwrite: bool) -> None:
    """Write a source as ASE rows."""
    write_oc_rows(target, entries_of(source), overwrite)


def write_source_graphs(source: Source, target: Path, overwrite: bool) -> None:
    """Write a source as pickled graphs."""
    write_oc_graphs(target, entries_of(source), overwrite)


def entries_of(source: Source) -> Iterator[CatalystEntry]:
    """Entries of task s2ef; relaxations are numbered from 0."""
    return (CatalystEntry(structure, group, step) for group, step, structure in in_order(source))


def compressed(value: Any) -> bytes:
    """Value of an entry, compressed as ASE does."""
    return zlib.compress(json.dumps(value, default=plain).encode())


def plain(value: Any) -> Any:
    """Lists and numbers from numpy's types."""
    return value.tolist()


def energy_of(structure: Structure) -> float:
    """Energy of a structure, which every entry needs."""
    if structure.energy is None:
        raise TDNError(f"{structure.name} has no energy, which OC20's formats need; choose other structures")
    return structure.energy


def row_of(entry: CatalystEntry) -> dict[str, Any]:
    """An ASE row, without time and user, so that the same structures give the same file."""
    structure = entry.structure
    row: dict[str, Any] = {
        "numbers": structure.numbers,
        "positions": structure.positions,
        "cell": structure.cell,
        "pbc": structure.pbc,
        "ctime": 0.0,
        "mtime": 0.0,
        "user": "",
        "unique_id": f"{entry.system:016x}{entry.frame:016x}",
        "calculator": "unknown",
        "calculator_parameters": {},
        "data": {"sid": entry.system, "fid": entry.frame},
    }
    for name, value in (("tags", structure.tags), ("forces", structure.forces)):
        if value is not None:
            row[name] = value
    if structure.stress is not None:
        row["stress"] = structure.stress[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)]  # xx yy zz yz xz xy
    if structure.fixed is not None:
        row["constraints"] = [{"name": "FixAtoms", "kwargs": {"indices": np.flatnonzero(structure.fixed)}}]
    if entry.relaxed is not None:
        row["data"].update(y_relaxed=energy_of(entry.relaxed), pos_relaxed=entry.relaxed.positions)
    if entry.relaxed is None or structure.energy is not None:
        row["energy"] = energy_of(structure)
    return row


def graph_of(entry: CatalystEntry) -> Graph:
    """Graph with the fields of the published files; without edges, which readers compute themselves."""
    import torch

    structure = entry.structure
    if not structure.pbc.all():
        raise TDNError(
            f"{structure.name} is not periodic in three directions, which OC20's older format cannot hold; "
            "write the newer one (oc-rows)"
        )

    def tensor(values: Any) -> Any:
        return torch.tensor(np.asarray(values, dtype=np.float32))

    fixed = np.zeros(len(structure), dtype=bool) if structure.fixed is None else structure.fixed
    graph = Graph()
    graph.__dict__.update(
        x=None, edge_index=None, edge_attr=None, y=None,
        pos=tensor(structure.positions), cell=tensor(structure.cell[None]),
        atomic_numbers=tensor(structure.numbers), natoms=len(structure),
        fixed=tensor(fixed), sid=entry.system, fid=entry.frame,
    )  # fmt: skip
    if structure.tags is not None:
        graph.__dict__["tags"] = torch.tensor(structure.tags)
    if entry.relaxed is not None:
        graph.__dict__.update(
            y_init=structure.energy, y_relaxed=energy_of(entry.relaxed), pos_relaxed=tensor(entry.relaxed.positions)
        )
    else:
        graph.__dict__["y"] = energy_of(structure)
        if structure.forces is not None:
            graph.__dict__["force"] = tensor(structure.forces)
    return graph


class Graph:
    """Replaces ``torch_geometric.data.data.Data`` of torch_geometric 1, under whose name it is pickled."""


def pickled(graph: Graph) -> bytes:
    """Value of an entry in the older format."""
    # Protocol 2 names a class in two lines, module and name; the first class of the pickle is the graph.
    own = f"c{Graph.__module__}\n{Graph.__name__}\n".encode()
    return pickle.dumps(graph, protocol=2).replace(own, b"ctorch_geometric.data.data\nData\n", 1)
