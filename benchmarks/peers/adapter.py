"""What all adapters share: build a model of a package, time energy and forces of a box, print one line of JSON.

An adapter runs in the environment of its package, one thread, and knows nothing of the others:

    python peer_NAME.py OPTIONS MODE STRUCTURE CACHE

OPTIONS are those of the model as JSON, MODE is how the package runs it, CACHE keeps what is compiled ahead of time.
Each adapter has a function of its own, ``build``, and hands it to :func:`run`. Time is CPU time of the process, a
median; neighbor lists are made before. Memory is the peak of one evaluation after warming up, less what the process
held before its first.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import re
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.io import read
from torch import Tensor

sys.path.append(str(Path(__file__).parents[1] / "cpu"))
from arithmetic import Multiplications

CHANNELS = 128
L_MAX = 1
CUTOFF = 4.5  # angstrom
#: Mean number of neighbors within the cutoff in water; peers scale their sums by it.
NEIGHBORS = 37.8
REFERENCES = {"H": -13.6, "O": -430.0}  # eV; they matter to no time
SEED = 0
#: Evaluations before the timed ones; TorchScript specialises in its first two.
WARM_UP = 3
#: Timed evaluations: at least the first number, up to the second while they take less than SECONDS.
LEAST, MOST, SECONDS = 5, 20, 5.0

#: One evaluation: energy (any shape) in eV and forces (n_atoms, 3) in eV/angstrom.
Step = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Request:
    """What an adapter is asked to build."""

    options: dict[str, Any]
    mode: str
    atoms: Atoms
    cache: Path  # folder for this package

    def compiled(self, package: str, suffix: str) -> Path:
        """Where a model compiled ahead of time is kept; another version or option makes another file."""
        words = [f"{key}-{value}" for key, value in sorted(self.options.items())]
        name = "-".join([package, version(package), *words, f"torch-{torch.__version__}"])
        return self.cache / (re.sub(r"[^\w.-]", "_", name) + suffix)

    def no_such_mode(self) -> ValueError:
        """For the end of a build function."""
        return ValueError(f"this adapter has no mode '{self.mode}'")


@dataclass(frozen=True)
class Built:
    """A model ready to run."""

    step: Step
    n_edges: int
    #: An evaluation in which torch sees every operation, to count its arithmetic; None if there is none in this mode.
    counted: Callable[[], object] | None = None
    #: Named in the table beside the mode.
    engine: str = ""


def run(package: str, build: Callable[[Request], Built]) -> None:
    """Main program of an adapter: what goes wrong is a result too, its first line goes into the JSON."""
    options, mode, structure, cache = sys.argv[1:]
    torch.set_num_threads(1)
    found: dict[str, Any] = {"package": package, "version": version(package), "torch": torch.__version__}
    try:
        request = Request(json.loads(options), mode, read(structure), Path(cache))
        request.cache.mkdir(parents=True, exist_ok=True)
        found |= measure(build(request), len(request.atoms))
    except Exception as problem:
        traceback.print_exc()
        found["error"] = first_line(problem)
    print(json.dumps(found))


def measure(built: Built, n_atoms: int) -> dict[str, Any]:
    """Time, memory and arithmetic per atom, and the result itself so that modes can be compared."""
    release()
    before = held()
    for _ in range(WARM_UP):
        energy, forces = built.step()
    release()
    forget_peak()
    built.step()
    found = {
        "atoms": n_atoms,
        "edges": built.n_edges / n_atoms,
        "engine": built.engine,
        "memory": (peak() - before) / n_atoms,
        "seconds": statistics.median(seconds_of(built.step)) / n_atoms,
        "energy": float(energy.sum()),
        "force": float(forces.square().mean().sqrt()),
    }
    if built.counted:
        with Multiplications() as count:
            built.counted()
        found["flops"] = 2 * count.matrix / n_atoms
    return found


def seconds_of(step: Step) -> list[float]:
    """CPU seconds of each timed evaluation."""
    seconds: list[float] = []
    while len(seconds) < LEAST or (len(seconds) < MOST and sum(seconds) < SECONDS):
        begin = time.process_time()
        step()
        seconds.append(time.process_time() - begin)
    return seconds


def first_line(problem: Exception) -> str:
    """Kind and first line of an error; a compiler's own problem stands above the one it caused."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0] if lines else 'no message'}"


def release() -> None:
    """Give freed pages back to the system, so that what is held is what is used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    """Let :func:`peak` count from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def held() -> int:
    """Bytes that this process holds."""
    return status("VmRSS")


def peak() -> int:
    """Most bytes that this process has held."""
    return status("VmHWM")


def status(field: str) -> int:
    """A size of this process as Linux tells it."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
