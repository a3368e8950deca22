"""Loading snapshots from an indexed PubChemQCR shard: how many a second, and whether memory grows with the data.

Question: does a worker get at least 2,000 snapshots of 36 atoms a second, in any order, and is the memory that it takes
independent of the number of snapshots?

Predicted: a snapshot is three small reads of the index and some copies, tens of microseconds; a graph also needs a
neighbor list, some hundred. The published loader unzips and converts the whole trajectory of 37 steps for each
snapshot. A process keeps 36 bytes for each trajectory, 1 byte for each snapshot, and nothing of the data itself.

The shard is made here: trajectories of 37 steps of 36 atoms, in which a few hundred distinct entries repeat under
different keys. Each number of snapshots is measured in a process of its own: growth of what it has resident over what
it had before it opened the shard, after the same number of random reads. One thread.

Usage: python benchmarks/cpu/data_loading.py [--snapshots N ...] [--reads N] [--folder FOLDER] [--output FILE]
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import forget_peak, machine, parser, peak_memory, publish, verdict

from tdn.data.formats.lmdb_file import LmdbFile, write_lmdb
from tdn.data.formats.pubchemqcr_record import read_entry, read_stage
from tdn.data.formats.pubchemqcr_write import entry
from tdn.data.source import open_source
from tdn.data.structure import Structure

N_ATOMS, N_STEPS, N_PAYLOADS = 36, 37, 300
CUTOFF = 4.5  # angstrom
ELEMENTS = ("H", "C", "N", "O")
#: Aims: snapshots a second of one worker; bytes for each additional snapshot.
RATE, BYTES = 2000, 4


@dataclass(frozen=True)
class Measured:
    """What one process found."""

    snapshots: int
    index_seconds: float  #: making the index
    index_bytes: int
    structures: float  #: a second, random order
    graphs: float  #: a second, with the neighbor list
    zipped: float  #: a second, when every snapshot unzips its trajectory
    resident: int  #: bytes that stay, over what the process had before it opened the shard
    peak: int  #: bytes at most, over the same
    degree: float  #: neighbors of an atom


def blob(rng: np.random.Generator) -> np.ndarray:
    """Positions of a molecule-like heap of atoms, none closer than 1.05 angstrom, shape ``(N_ATOMS, 3)``."""
    placed: list[np.ndarray] = []
    while len(placed) < N_ATOMS:
        point = rng.uniform(-1, 1, 3) * (4.4, 3.4, 2.4)
        if all(np.linalg.norm(point - other) > 1.05 for other in placed):
            placed.append(point)
    return np.array(placed)


def payload(rng: np.random.Generator) -> bytes:
    """One entry of the shard."""
    numbers = rng.choice([1, 6, 7, 8], size=N_ATOMS, p=[0.5, 0.35, 0.07, 0.08]).astype(np.int64)
    start = blob(rng)
    steps = [
        Structure(
            numbers=numbers,
            positions=start + rng.normal(scale=0.02, size=start.shape),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool),
            energy=-20000.0 + rng.normal(),
            forces=rng.normal(size=start.shape),
        )
        for _ in range(N_STEPS)
    ]
    return entry(0, {"DFT_1st": steps})[1]


def make_shard(path: Path, snapshots: int) -> None:
    """A shard of at least ``snapshots`` snapshots."""
    payloads = [payload(np.random.default_rng(seed)) for seed in range(N_PAYLOADS)]
    n_trajectories = -(-snapshots // N_STEPS)
    write_lmdb(path, ((f"{cid:09d}".encode(), payloads[cid % N_PAYLOADS]) for cid in range(n_trajectories)))


def rate(work: Callable[[int], Any], indices: np.ndarray) -> float:
    """Calls a second, in CPU time of this process."""
    for index in indices[:100].tolist():
        work(index)
    start = time.process_time()
    for index in indices[100:].tolist():
        work(index)
    return (len(indices) - 100) / (time.process_time() - start)


def resident() -> int:
    """Bytes that this process holds now (VmRSS of Linux)."""
    return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def measure(path: Path, reads: int) -> Measured:
    """Measure one shard in this process."""
    from tdn.data.build import graph_from_structure

    start = time.process_time()
    open_source(path)  # makes the index
    seconds = time.process_time() - start
    gc.collect()
    forget_peak()
    before = resident()
    source = open_source(path)
    indices = np.random.default_rng(0).integers(len(source), size=reads)
    structures = rate(source.__getitem__, indices)
    gc.collect()
    after, peak = resident(), peak_memory()

    def graph(index: int) -> Any:
        return graph_from_structure(source[index], ELEMENTS, CUTOFF)

    file = LmdbFile(path)

    def zipped(index: int) -> Any:
        found = read_entry(file.get(f"{index // N_STEPS:09d}".encode()) or b"", "")
        return read_stage(found or {}, "DFT_1st", Counter())

    folder = path.with_name(path.name + ".index")
    return Measured(
        snapshots=len(source),
        index_seconds=seconds,
        index_bytes=sum(part.stat().st_size for part in folder.rglob("*")),
        structures=structures,
        graphs=rate(graph, indices[: reads // 10]),
        zipped=rate(zipped, indices[:300]),
        resident=after - before,
        peak=peak - before,
        degree=float(np.mean([len(graph(index).center) / N_ATOMS for index in indices[:100].tolist()])),
    )


def in_process(path: Path, reads: int) -> Measured:
    """Measure in a process of its own, so that memory of another size is not counted."""
    command = [sys.executable, __file__, "--measure", str(path), "--reads", str(reads)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=7200).stdout
    return Measured(**json.loads(output.splitlines()[-1]))


def table(found: list[Measured]) -> list[str]:
    """One row for each size."""
    lines = [
        "| snapshots | structures/s | graphs/s | unzipping the trajectory: structures/s | index: snapshots/s made "
        "| index: bytes per snapshot | resident, MB | peak, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        lines.append(
            f"| {row.snapshots:,} | {row.structures:,.0f} | {row.graphs:,.0f} | {row.zipped:,.0f} "
            f"| {row.snapshots / row.index_seconds:,.0f} | {row.index_bytes / row.snapshots:,.0f} "
            f"| {row.resident / 1e6:.1f} | {row.peak / 1e6:.1f} |"
        )
    return lines


def summary(found: list[Measured]) -> list[str]:
    """The aims."""
    largest, smallest = found[-1], found[0]
    slowest = min(min(row.structures, row.graphs) for row in found)
    lines = [f"Slowest of all, graphs included: {slowest:,.0f} a second (aim {RATE:,}: {verdict(slowest >= RATE)})."]
    if len(found) > 1:
        more = (largest.resident - smallest.resident) / (largest.snapshots - smallest.snapshots)
        lines.append(
            f"Memory for each additional snapshot: {more:.2f} bytes of {largest.index_bytes / largest.snapshots:,.0f} "
            f"on disk (aim below {BYTES}: {verdict(more < BYTES)}); 1 of them is the 36 bytes kept for each trajectory."
        )
    return lines


def main() -> None:
    """Make shards, measure, print one table."""
    arguments = parser(__doc__)
    arguments.add_argument("--snapshots", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes")
    arguments.add_argument("--reads", type=int, default=30_000, help="random reads of each size")
    arguments.add_argument("--folder", type=Path, help="where shards are made (default: a temporary folder)")
    arguments.add_argument("--measure", type=Path, help="measure this shard and print the result as JSON")
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(options.measure, options.reads))))
        return
    found = []
    for size in options.snapshots:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "synthetic.lmdb"
            make_shard(path, size)
            found.append(in_process(path, options.reads))
            print(found[-1], file=sys.stderr, flush=True)
    lines = [
        "# Loading snapshots from an indexed PubChemQCR shard",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/data_loading.py`, "
        f"{options.reads:,} random reads of each size.",
        f"{N_ATOMS} atoms, {N_STEPS} steps per trajectory; graphs with energy, forces and all {found[0].degree:.1f} "
        f"neighbors within {CUTOFF} angstrom.",
        "Rates are per second of CPU time of one process; the files are in the page cache of the system.",
        "",
        *table(found),
        "",
        *summary(found),
    ]
    publish(lines, options.output)


if __name__ == "__main__":
    main()
