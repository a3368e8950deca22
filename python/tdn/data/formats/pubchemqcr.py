"""PubChemQCR: relaxation trajectories of molecules in LMDB shards, read through an index built once per shard.

The names of the labels are fixed, energy and gradient, and every structure has both: a step that lacks one is left out
and counted. So no label can be missed because of another name, and the search for unread labels says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdn.data.formats.lmdb_file import shards_of
from tdn.data.formats.pubchemqcr_build import STAGES, checked_stage, open_indices
from tdn.data.formats.pubchemqcr_index import StageIndex
from tdn.data.source_base import Source, hashed
from tdn.data.split import FULL_RATIOS, PARTS, SUBSET_RATIOS, published_split
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels
from tdn.elements import SYMBOLS
from tdn.errors import TDNError, suggest

STEPS = ("all", "last")


class PubChemQCR(Source):
    """Snapshots of one or several shards; keeps 36 bytes for each trajectory and nothing for a snapshot."""

    def __init__(self, indices: Sequence[Sequence[StageIndex]], options: dict[str, Any]):
        """Choose among indexed trajectories.

        Args:
            indices: for each shard the indices of its stages.
            options: ``stage``, ``steps``, ``split``, ``ratios``, checked.
        """
        self.options = options
        self.indices = [index for shard in indices for index in shard]
        self._counts: Counter[str] = Counter()
        pieces = [self._pieces(number, index) for number, index in enumerate(self.indices)]
        group, reader, row, n_steps = (np.concatenate(column) for column in zip(*pieces, strict=True))
        group = np.unique(group, return_inverse=True)[1].reshape(-1)  # trajectories, in the order of shards and keys
        order = np.lexsort((reader, group))
        if options["split"]:
            n_trajectories = int(group.max(initial=-1)) + 1
            order = chosen(group[order], order, published_split(n_trajectories, options["split"], options["ratios"]))
        if options["steps"] == "last":  # of the later stage, if there are two
            order = order[np.append(np.diff(group[order]) != 0, True)] if len(order) else order
            self._first, n_steps = n_steps[order] - 1, np.ones(len(order), dtype=np.int64)
        else:
            self._first, n_steps = np.zeros(len(order), dtype=np.int64), n_steps[order]
        self._group, self._reader, self._row = group[order], reader[order].astype(np.int32), row[order]
        self._ends = np.cumsum(n_steps)

    def _pieces(self, number: int, index: StageIndex) -> tuple[NDArray[np.int64], ...]:
        """Group, reader, row and number of steps of the trajectories of one stage of one shard."""
        table = index.table()
        row = np.arange(len(table))
        if self.options["stage"] == "1st_smash":
            row = row[table["smash"] != 0]
            self._counts["trajectory of DFT_1st that SMASH did not calculate"] += len(table) - len(row)
        shard = number // len(STAGES[self.options["stage"]])
        # a key has 9 digits, so the group is one number for each shard and key
        group = shard * 10**12 + table["cid"][row]
        return group, np.full(len(row), number), row, table["n_steps"][row].astype(np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Structure:
        index = self.checked_index(index)
        piece = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[piece - 1]) if piece else 0
        step = index - start + int(self._first[piece])
        reader = self.indices[self._reader[piece]]
        numbers, positions, forces, energy, cid = reader.snapshot(int(self._row[piece]), step)
        summary = reader.summary
        return Structure(
            numbers=numbers,
            positions=positions,
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool),
            energy=energy,
            forces=forces,
            name=f"step {step} of {summary.stage} of molecule {cid} of {summary.shard[0]}",
        )

    @property
    def file_names(self) -> list[str]:
        """Names of the shards."""
        return list(dict.fromkeys(index.summary.shard[0] for index in self.indices))

    @property
    def left_out(self) -> dict[str, int]:
        """Data of these stages that the index leaves out."""
        total = Counter(self._counts)
        for index in self.indices:
            total.update(index.summary.left_out)
        return {reason: count for reason, count in sorted(total.items()) if count}

    @property
    def n_trajectories(self) -> int:
        """Number of molecules."""
        return len(np.unique(self._group))

    def elements(self) -> tuple[str, ...]:
        """Elements of all trajectories of the stages, including other parts of a split."""
        return tuple(SYMBOLS[z - 1] for z in sorted({z for index in self.indices for z in index.summary.elements}))

    def unread_labels(self) -> UnreadLabels:
        """No unread labels: names are fixed."""
        return UnreadLabels(fixed=frozenset({"PubChemQCR: energy, gradient"}))

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them: the index has the number of atoms of each trajectory."""
        alone = np.zeros(len(self._row), dtype=bool)
        for number, index in enumerate(self.indices):
            chosen_here = self._reader == number
            alone[chosen_here] = index.table()["n_atoms"][self._row[chosen_here]] == 1
        return np.flatnonzero(np.repeat(alone, np.diff(self._ends, prepend=0)))

    def get_groups(self) -> NDArray[np.int64]:
        """Molecule of each snapshot."""
        return np.repeat(self._group, np.diff(self._ends, prepend=0)).astype(np.int64)

    def fingerprint(self) -> str:
        """Hash of the shards' names, sizes, times of change and numbers of entries, and of the options."""
        return hashed("pubchemqcr", [index.summary.shard for index in self.indices], self.options)


def chosen(groups: NDArray[np.int64], order: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entries of ``order`` whose group is in ``part``, in the order of ``part``; ``groups``, theirs, are ascending."""
    first = np.searchsorted(groups, part, side="left")
    length = np.searchsorted(groups, part, side="right") - first
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return order[np.repeat(first, length) + within]


def open_pubchemqcr(
    path: Path,
    stage: str = "1st",
    steps: str = "all",
    split: str | None = None,
    ratios: Sequence[float] | None = None,
    index_folder: str | None = None,
) -> PubChemQCR:
    """Open a shard or a folder of shards, and build missing indices.

    Args:
        path: ``*.lmdb``, or a folder of them.
        stage: pm3, hf, 1st, 1st_smash, 2nd or mixing.
        steps: ``all`` snapshots of each trajectory, or its ``last`` one.
        split: ``train``, ``valid``, ``test`` of the published split by trajectories, or None for everything.
        ratios: shares for training and validation; if None the published ones: 0.6 and 0.2 for one shard, else 0.8
            and 0.1.
        index_folder: where indices are kept, if not beside the shards.

    Raises:
        TDNError: an option has an unknown value, or there are no structures.
    """
    checked_stage(stage)
    for name, value, known in (("steps", steps, STEPS), ("split", split or PARTS[0], PARTS)):
        if value not in known:
            raise TDNError(f"{name} is {value!r}{suggest(str(value), known)}; known are {', '.join(known)}")
    shards = shards_of(path, (".lmdb",))
    shares = checked_ratios(ratios if ratios is not None else SUBSET_RATIOS if len(shards) == 1 else FULL_RATIOS)
    folder = None if index_folder is None else Path(index_folder).expanduser()
    indices = [open_indices(shard, STAGES[stage], folder) for shard in shards]
    source = PubChemQCR(indices, {"stage": stage, "steps": steps, "split": split, "ratios": shares if split else None})
    if len(source) == 0:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in source.left_out.items())
        raise TDNError(f"'{path}' has no structure of stage {stage} ({reasons or 'the part is empty'}); choose another")
    return source


def checked_ratios(ratios: Any) -> tuple[float, float]:
    """Shares of training and validation; a third number, the rest for the test, may be given."""
    values = list(ratios) if isinstance(ratios, (list, tuple)) else []
    numbers = all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values)
    if len(values) not in (2, 3) or not numbers or sum(values) > 1 + 1e-9:
        raise TDNError(f"ratios is {ratios!r}; give the shares for training and validation, for instance [0.6, 0.2]")
    return float(values[0]), float(values[1])
