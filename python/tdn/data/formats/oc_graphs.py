"""The older LMDB files of OC20 and OC22: pickled graphs of torch_geometric under the keys 0, 1, ... and ``length``.

The names of labels are fixed, y (y_relaxed in task is2re) and force; a graph without the energy is refused, other names
that look like labels are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.lmdb_file import LmdbFile
from tdn.data.formats.unpickle import load_graph, load_plain
from tdn.data.labels import LabelKeys
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels, shape_of, unread_among
from tdn.errors import TDNError, shown
from tdn.files import first_line

#: Field of a graph that holds the energy of a task.
ENERGIES = {"s2ef": "y", "is2re": "y_relaxed"}
#: Names of the labels of a structure; there is none for a stress.
NAMES = LabelKeys(energy="y", forces="force", stress="")
FIXED = frozenset({"OC20 graphs: y, force"})


class GraphShard:
    """One file."""

    def __init__(self, file: LmdbFile):
        self.file = file
        self.left_out: dict[str, int] = {}
        content, entries = file.get(b"length"), file.count()
        if content is None:
            self._length = entries
            return
        length = np.asarray(load_plain(content, f"'length' of {file.path.name}"))
        if length.shape != () or length.dtype.kind not in "iu" or not 0 <= length < entries:
            raise TDNError(
                f"'{file.path}' has {entries - 1} graphs but states their number as {length}; write it again"
            )
        self._length = int(length)
        if self._length < entries - 1:
            self.left_out = {"graph beyond the number of graphs that the file states": entries - 1 - self._length}

    def __len__(self) -> int:
        return self._length

    def fields(self, index: int) -> tuple[dict[str, Any], str]:
        """Fields of a graph, and its name."""
        name = f"graph {index} of {self.file.path.name}"
        content = self.file.get(str(index).encode())
        if content is None:
            raise TDNError(f"{name} is missing; write the file again with the keys 0, 1, ...")
        fields = load_graph(content, name)
        return {key: value for key, value in fields.items() if value is not None}, name

    def structure(self, index: int, task: str) -> Structure:
        """Structure of a graph."""
        fields, name = self.fields(index)
        try:
            return structure_of(fields, name, task)
        except (KeyError, TypeError, ValueError) as problem:
            known = shown(", ".join(sorted(map(str, fields)))) or "nothing"
            reason = (
                f"has no {shown(str(problem))}"
                if isinstance(problem, KeyError)
                else f"is malformed ({first_line(problem)})"
            )
            raise TDNError(f"{name} {reason}, only {known}; give files of OC20 or OC22") from None

    def unread(self, index: int) -> UnreadLabels:
        """Names of a graph that look like labels; no option reads them."""
        fields, _ = self.fields(index)
        n_atoms = (*shape_of(fields.get("pos")), 0)[0]
        found = unread_among(fields, n_atoms, NAMES).found
        return UnreadLabels(Counter({("", name): count for (_, name), count in found.items()}), fixed=FIXED)

    def system(self, index: int) -> Any:
        """The graph's ``sid``."""
        system = self.fields(index)[0].get("sid")
        return None if system is None else np.asarray(system).reshape(-1).tolist()[0]


def structure_of(fields: Mapping[str, Any], name: str, task: str) -> Structure:
    """Structure with its labels; periodic in three directions unless it says otherwise.

    Raises:
        TDNError: the energy of the task is missing, a shape is wrong, or a value is not finite.
        KeyError: positions, cell or atomic numbers are missing.
    """
    if ENERGIES[task] not in fields:
        known = shown(", ".join(sorted(map(str, fields))))
        raise TDNError(
            f"{name} has no {ENERGIES[task]}, the energy of task {task}, only {known}; "
            "choose another task or other files"
        )
    numbers = whole(fields["atomic_numbers"])
    fixed = whole(fields["fixed"]).astype(bool) if "fixed" in fields else None
    with_forces = task == "s2ef" and "force" in fields
    return Structure(
        numbers=numbers,
        positions=np.asarray(fields["pos"], dtype=np.float64),
        cell=np.asarray(fields["cell"], dtype=np.float64).reshape(3, 3),
        pbc=np.asarray(fields.get("pbc", [True] * 3), dtype=bool).reshape(3),
        energy=float(np.asarray(fields[ENERGIES[task]], dtype=np.float64).reshape(())),
        forces=np.asarray(fields["force"], dtype=np.float64) if with_forces else None,
        fixed=fixed if fixed is not None and fixed.any() else None,
        tags=whole(fields["tags"]) if "tags" in fields else None,
        name=name,
    ).checked()


def whole(values: Any) -> NDArray[np.int64]:
    """Whole numbers, which the files store as floating-point numbers."""
    numbers = np.asarray(values)
    result = numbers.astype(np.int64)
    if not (result == numbers).all():
        raise ValueError("whole numbers were expected")
    return result.reshape(-1)
