"""Writing PubChemQCR shards: small valid files of your own trajectories."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tdn.data.formats.lmdb_file import write_lmdb
from tdn.data.formats.pubchemqcr_record import BOHR, HARTREE, STAGES
from tdn.data.source_base import Source
from tdn.data.structure import Structure
from tdn.data.trajectories import in_order
from tdn.elements import SYMBOLS
from tdn.errors import TDNError

#: Steps of each stage (pm3, hf, DFT_1st, DFT_2nd); a missing stage becomes None.
Stages = Mapping[str, Sequence[Structure]]


def write_pubchemqcr(
    path: str | Path, trajectories: Iterable[tuple[int, Stages]], smash: bool = False, overwrite: bool = False
) -> int:
    """Write trajectories as a shard.

    Args:
        path: the file, ``*.lmdb``.
        trajectories: number of each molecule (at most 9 digits) and its stages; steps need energy and forces.
        smash: write steps as SMASH does, without nuclear charges.
        overwrite: replace an existing file.

    Returns:
        Number of trajectories.

    Raises:
        TDNError: a structure has no energy or forces or is periodic, or the file exists.
    """
    return write_lmdb(path, (entry(cid, stages, smash) for cid, stages in trajectories), overwrite)


def write_source(source: Source, target: Path, overwrite: bool) -> None:
    """Write a source as stage DFT_1st, one entry for each trajectory; molecules are numbered from 1."""

    def molecules() -> Iterator[tuple[int, Stages]]:
        for group, steps in groupby(in_order(source), key=lambda item: item[0]):
            yield group + 1, {"DFT_1st": [structure for _, _, structure in steps]}

    write_pubchemqcr(target, molecules(), overwrite=overwrite)


def entry(cid: int, stages: Stages, smash: bool = False) -> tuple[bytes, bytes]:
    """Key and value of one molecule."""
    if not 0 <= cid < 10**9:
        raise TDNError(f"molecule number {cid} does not have 9 digits at most; give smaller numbers")
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise TDNError(f"unknown stage '{unknown.pop()}' of molecule {cid}; known are {', '.join(STAGES)}")
    content = {
        stage: [step_of(structure, smash) for structure in stages[stage]] if stage in stages else None
        for stage in STAGES
    }
    return f"{cid:09d}".encode(), gzip.compress(pickle.dumps(content, protocol=4), mtime=0)


def step_of(structure: Structure, smash: bool) -> dict[str, Any]:
    """One step: Hartree, angstrom, Hartree/Bohr."""
    if structure.energy is None or structure.forces is None:
        raise TDNError(f"{structure.name} has no energy or no forces, which PubChemQCR needs; choose other structures")
    if structure.pbc.any():
        raise TDNError(f"{structure.name} is periodic, which PubChemQCR cannot hold; write it as oc or xyz")
    symbols = [SYMBOLS[z - 1] for z in structure.numbers]
    charges = [{} if smash else {"charge": float(z)} for z in structure.numbers]
    gradient = structure.forces * (-BOHR / HARTREE)
    return {
        "coordinates": [
            {"atom": symbol, **charge, **dict(zip("xyz", row, strict=True))}
            for symbol, charge, row in zip(symbols, charges, structure.positions.tolist(), strict=True)
        ],
        "energy": structure.energy / HARTREE,
        "gradient": [
            {"atom": symbol, **charge, **dict(zip(("dx", "dy", "dz"), row, strict=True))}
            for symbol, charge, row in zip(symbols, charges, gradient.tolist(), strict=True)
        ],
    }
