"""Two installed builds of tdn against each other: what a change costs or gains, step by step.

Question: is a step of LAMMPS slower after a change, or does it hold more memory?

Each build is a Python environment. Two processes, one in each, wait for their turn: a step here, a step there, so that
whatever else the machine does meets both. Given are medians of the ratios of such pairs, of CPU times of one thread.
Every build deploys the same model with seeded random weights by itself, in its own format.

Usage: python benchmarks/cpu/compare_builds.py BEFORE_PYTHON AFTER_PYTHON [--repeats N] [--output FILE]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from report import machine, parser, publish

WORKER = Path(__file__).with_name("compare_worker.py")
WARM_UP = 2


@dataclass(frozen=True)
class Case:
    """What both builds run."""

    channels: int
    l_max: int
    kernels: str  #: of TDN_KERNELS; empty: the widest
    copies: tuple[int, int, int]  #: of the box of 192 atoms of water

    def row(self) -> str:
        """Head of its row."""
        return f"| {self.kernels or 'widest'} | {self.channels} | {self.l_max}"


CASES = [
    *(Case(c, l_max, kernels, (1, 1, 1)) for kernels in ("", "avx2") for l_max in (1, 2) for c in (32, 128)),
    *(Case(c, 1, "", (2, 2, 1)) for c in (32, 128)),
]


class Build:
    """A process of one environment."""

    def __init__(self, python: str, case: Case) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TDN_KERNELS": case.kernels}
        if not case.kernels:
            del environment["TDN_KERNELS"]
        command = [python, str(WORKER), json.dumps(asdict(case))]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.facts = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        while not (line := self.process.stdout.readline()).startswith("{"):
            if not line:
                raise SystemExit(f"the worker of {self.process.args} ended")
        return line

    def step(self) -> float:
        """CPU seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        return float(json.loads(self._line())["seconds"])

    def close(self) -> dict[str, float]:
        """End the process; returns what it says at its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        last = json.loads(self._line())
        self.process.wait()
        return dict(last)


def compare(case: Case, pythons: list[str], repeats: int) -> str:
    """Row of the table."""
    builds = [Build(python, case) for python in pythons]
    pairs = [[build.step() for build in builds] for _ in range(WARM_UP + repeats)][WARM_UP:]
    ratio = statistics.median(after / before for before, after in pairs)
    fastest = [min(times) for times in zip(*pairs, strict=True)]
    kept = [build.close()["kilobytes"] for build in builds]
    atoms = builds[0].facts["atoms"]
    figures = "".join(f" | {1e6 * seconds / atoms:.1f}" for seconds in fastest)
    memory = f"{kept[0]:.2f} | {kept[1]:.2f}"
    return f"{case.row()} | {atoms:,}{figures} | {fastest[1] / fastest[0]:.3f} | {ratio:.3f} | {memory} |"


def main() -> None:
    """All cases, one table."""
    arguments = parser(__doc__)
    arguments.add_argument("before", help="python of the environment with the older build")
    arguments.add_argument("after", help="python of the environment with the newer build")
    arguments.add_argument("--repeats", type=int, default=15)
    options = arguments.parse_args()
    lines = [
        "# Two builds in alternation",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/compare_builds.py`, {options.repeats} pairs of steps.",
        "Water, float32, random weights, 4 layers, 4 heads, 4.5 angstrom; a new neighbor list in every tenth step.",
        "Memory: the pair style's own count at the end of the run.",
        "",
        "| kernels | C | l_max | atoms | before, us per atom (fastest) | after | ratio of the fastest |"
        " median ratio of pairs | before, KB per atom | after |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        lines.append(compare(case, [options.before, options.after], options.repeats))
        print(lines[-1], flush=True)
    publish(lines, options.output)


if __name__ == "__main__":
    main()
