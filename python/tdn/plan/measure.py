"""Measures a rate file on this machine: the model on synthetic graphs, and messages between two ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tdn import schema
from tdn.errors import TDNError
from tdn.plan.estimate import edges_per_atom
from tdn.plan.rates import Rates

#: Seconds that the two ranks may take; they need less than one.
TIMEOUT = 60.0

#: Number of probes in a measurement, odd.
N_PROBES = 5
#: Fields of Rates that the evaluator's probe gives.
PROBED = (
    "seconds_fixed",
    "seconds_per_atom",
    "seconds_per_edge",
    "bytes_fixed",
    "bytes_per_atom",
    "bytes_per_edge",
    "bytes_per_remote",
)

#: Opens an archive on a device in a precision, for ``probe``.
Opener = Callable[[str, str, Any], Any]


def measure(path: str | Path, device: str, threads: int, density: float | None, dtype: str | None) -> Rates:
    """Costs of an archive on this machine.

    Args:
        path: archive of ``tdn deploy``.
        device: cpu or cuda.
        threads: threads of one rank in the planned runs.
        density: atoms per angstrom^3 of the planned systems; by default edges per atom are those of the training data.
        dtype: precision instead of the archive's.
    """
    from tdn._core import Evaluator
    from tdn.deployment.archive import read_label
    from tdn.malloc import keep_freed_pages

    keep_freed_pages()  # the pair style does the same
    label = read_label(path)
    degree = typical_degree(label, density)
    costs = probe(Evaluator, path, device, dtype, degree, threads)
    return Rates(
        model=label[schema.MODEL_NAME],
        device=device,
        threads=threads,
        dtype=dtype or label[schema.DTYPE],
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edges_per_atom=degree,
        **costs,
        **messages(),
    )


def probe(
    opener: Opener, path: str | Path, device: str, dtype: str | None, degree: float, threads: int
) -> dict[str, float]:
    """Bytes and seconds per step, atom, edge and remote row.

    Cores may be shared with other programs, so the probe with the median time of an atom with its edges is used.
    """
    evaluator = opener(str(path), device, dtype)
    probes = [evaluator.probe(degree, n_threads=threads) for _ in range(N_PROBES)]
    probes.sort(key=lambda costs: costs["seconds_per_atom"] + degree * costs["seconds_per_edge"])
    return {name: float(probes[N_PROBES // 2][name]) for name in PROBED}


def typical_degree(label: dict[str, Any], density: float | None) -> float:
    """Edges per atom at a density, or those of the training data."""
    if density is not None:
        return edges_per_atom(density, label[schema.CUTOFF])
    degree = label.get("model_config", {}).get("avg_degree")
    if not degree:
        raise TDNError("the label does not say how many edges an atom had in training; give --density")
    return float(degree)


def messages(command: tuple[str, ...] = ("-m", "tdn.plan.pingpong")) -> dict[str, float]:
    """Latency (s) and bandwidth (bytes/s) between two ranks on this machine.

    Args:
        command: arguments of Python on both ranks.
    """
    mpirun = Path(sys.executable).parent / "mpirun"
    if not mpirun.is_file():
        raise TDNError(f"'{mpirun}' does not exist, so messages cannot be measured; pip install mpich")
    try:
        done = subprocess.run(
            [str(mpirun), "-n", "2", sys.executable, *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise TDNError(f"two MPI ranks did not answer within {TIMEOUT:g} s; check that '{mpirun} -n 2' works") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise TDNError(f"two MPI ranks could not exchange messages ({reason}); check that '{mpirun} -n 2' works")
    return json.loads(done.stdout)
