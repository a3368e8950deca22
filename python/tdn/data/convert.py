"""From any source of structures to a file in one of the forms that can be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tdn.data.formats.oc_write import CatalystEntry, write_oc_graphs, write_oc_rows
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.progress import tracked
from tdn.data.source import Source
from tdn.data.structure import Structure
from tdn.errors import TDNError, suggest
from tdn.files import check_target, write_atomically


def convert(source: Source, target: Path, form: str | None = None, overwrite: bool = False) -> int:
    """Write all structures of a source.

    Args:
        source: the structures; those of one trajectory or relaxation stay together.
        target: the file.
        form: xyz, pubchemqcr, oc-rows or oc-graphs; by the ending of ``target`` if None (``.xyz``, ``.aselmdb``).
        overwrite: replace an existing file.

    Returns:
        Number of structures.
    """
    form = form or {".xyz": "xyz", ".extxyz": "xyz", ".aselmdb": "oc-rows"}.get(target.suffix)
    if form not in WRITERS:
        known = ", ".join(WRITERS)
        if form is None:
            raise TDNError(f"the ending of '{target}' does not say in which form to write; name one of {known}")
        raise TDNError(f"unknown form '{form}'{suggest(form, WRITERS)}; known are {known}")
    check_target(target, overwrite)
    WRITERS[form](source, target, overwrite)
    return len(source)


def in_order(source: Source) -> Iterator[tuple[int, int, Structure]]:
    """Group, step in its group and structure, group by group."""
    groups = source.get_groups()
    labels = np.arange(len(source)) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    last, step = -1, 0
    for index in tracked(order.tolist(), len(order), "converting"):
        group = int(labels[index])
        step, last = (step + 1 if group == last else 0), group
        yield group, step, source[index]


def write_xyz(source: Source, target: Path, overwrite: bool) -> None:
    """Extended XYZ; ASE keeps eight decimals of positions and forces."""
    from ase.io import write as write_atoms

    def write(path: str) -> None:
        with open(path, "w") as file:
            for index in tracked(range(len(source)), len(source), "converting"):
                write_atoms(file, source[index].to_atoms(), format="extxyz")

    try:
        write_atomically(write, target)
    finally:  # nothing of an unfinished file stays
        target.with_suffix(target.suffix + ".part").unlink(missing_ok=True)


def write_trajectories(source: Source, target: Path, overwrite: bool) -> None:
    """PubChemQCR, stage DFT_1st; molecules are numbered from 1."""

    def molecules() -> Iterator[tuple[int, dict[str, list[Structure]]]]:
        for group, steps in groupby(in_order(source), key=lambda item: item[0]):
            yield group + 1, {"DFT_1st": [structure for _, _, structure in steps]}

    write_pubchemqcr(target, molecules(), overwrite=overwrite)


def catalyst_writer(write: Callable[..., Any]) -> Callable[[Source, Path, bool], None]:
    """OC20 in one of its forms, task s2ef; relaxations are numbered from 0."""

    def entries(source: Source) -> Iterable[CatalystEntry]:
        return (CatalystEntry(structure, group, step) for group, step, structure in in_order(source))

    return lambda source, target, overwrite: write(target, entries(source), overwrite)


#: Forms that can be written.
WRITERS: dict[str, Callable[[Source, Path, bool], None]] = {
    "xyz": write_xyz,
    "pubchemqcr": write_trajectories,
    "oc-rows": catalyst_writer(write_oc_rows),
    "oc-graphs": catalyst_writer(write_oc_graphs),
}
