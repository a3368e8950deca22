"""Energy and forces of the C++ evaluator on CUDA: agreement with the CPU, time and memory. Started by run.sh."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from boxes import Box, water_box
from torch import Tensor

import tdn
from tdn import _core
from tdn.deployment import read_label, write_archive
from tdn.model import TDN, ModelConfig

ROOT = Path(__file__).parents[2]
WATER_ARCHIVE = ROOT / "examples" / "water" / "water.tdn.pt"
PAPER_SIZE = {"n_channels": 128, "l_max": 1, "n_layers": 4, "cutoff": 3.56}  # 19 neighbors in water
SELF_CHECK_SIZE = {"n_channels": 8, "l_max": 1, "n_layers": 2, "cutoff": 3.56}
WATER_REFERENCES = (-13.6, -430.0)  # eV, H and O; only their size matters here
#: (copies of the 192-atom cell) -> about 1k, 10k and 100k atoms
SIZES = ((3, 2, 1), (4, 4, 3), (8, 8, 8))
#: largest accepted difference of atom energies (eV) and forces (relative to the largest force), CUDA against CPU
LIMITS = {"float64": (1e-9, 1e-10), "float32": (5e-4, 1e-4)}
WARM_UP = 10


@dataclass
class Report:
    """Lines that are printed at once and written to ``$OUT`` at the end."""

    lines: list[str] = field(default_factory=list)
    failed: bool = False

    def add(self, line: str = "") -> None:
        print(line)
        self.lines.append(line)

    def write(self) -> None:
        if "OUT" in os.environ:
            (Path(os.environ["OUT"]) / "gpu-benchmark.txt").write_text("\n".join(self.lines) + "\n")


class Step:
    """One archive on one device, ready to give energy and forces of one box."""

    def __init__(self, path: Path, box: Box, device: str, engine: str = "auto") -> None:
        label = read_label(path)
        self.evaluator = _core.Evaluator(str(path), device, engine=engine)
        self.species = torch.tensor([label["elements"].index(e) for e in box.elements], device=device)
        self.center, self.neighbor = box.center.to(device), box.neighbor.to(device)
        self.vectors = box.vectors.to(device=device, dtype=getattr(torch, label["dtype"]))

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Energies of the atoms (n_atoms) and forces (n_atoms, 3)."""
        edges = (self.species, self.center, self.neighbor, self.vectors)
        found = self.evaluator.evaluate(*(tensor.cpu().numpy() for tensor in edges))
        energies, gradients = (torch.from_numpy(array).to(self.species.device) for array in found[:2])
        forces = gradients.new_zeros(len(self.species), 3)
        forces.index_add_(0, self.center, gradients).index_add_(0, self.neighbor, gradients, alpha=-1)
        return energies, forces


def compare(report: Report, name: str, path: Path, device: str, copies: tuple[int, int, int]) -> None:
    """One line: the largest differences between ``device`` and the CPU, both with the networks instead of tables."""
    label = read_label(path)
    box = water_box(copies, label["cutoff"])
    energies, forces = Step(path, box, "cpu", "script")()
    energies_device, forces_device = (x.cpu() for x in Step(path, box, device, "script")())
    energy_error = float((energies_device - energies).abs().max())
    force_error = float((forces_device - forces).abs().max() / forces.abs().max())
    limits = LIMITS[label["dtype"]]
    passed = energy_error <= limits[0] and force_error <= limits[1]  # false for NaN too
    report.failed |= not passed
    verdict = "ok" if passed else f"FAILED (limits {limits[0]:.0e} eV, {limits[1]:.0e})"
    report.add(
        f"{name:<22}{label['dtype']:<9}{box.n_atoms:>7} atoms   max |dE| {energy_error:.1e} eV/atom   "
        f"max |dF| / max |F| {force_error:.1e}   {verdict}"
    )


def milliseconds(step: Callable[[], object], device: str, n_steps: int) -> float:
    """Median time of a step after ``WARM_UP`` steps, by CUDA events where there is CUDA."""
    for _ in range(WARM_UP):
        step()
    return statistics.median(time_cuda(step) if device == "cuda" else time_cpu(step) for _ in range(n_steps))


def time_cuda(step: Callable[[], object]) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def time_cpu(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - begin)


def measure(report: Report, name: str, path: Path, device: str, copies: tuple[int, int, int]) -> None:
    """One row of the table of times."""
    label = read_label(path)
    box = water_box(copies, label["cutoff"])
    row = f"{name:<22}{label['dtype']:<9}{box.n_atoms:>8}{box.edges_per_atom:>9.1f}"
    try:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        time_of_step = milliseconds(Step(path, box, device), device, n_steps=20 if device == "cuda" else 2)
    except RuntimeError as problem:  # too large for this GPU: a result too
        if "out of memory" not in str(problem):
            raise
        report.add(f"{row}   out of memory")
        return
    per_atom = 1e3 * time_of_step / box.n_atoms
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    report.add(
        f"{row}{time_of_step:>11.2f}{per_atom:>12.3f}{1e3 / time_of_step:>10.2f}"
        f"{memory / 2**30:>10.2f}{memory / 2**10 / box.n_atoms:>11.1f}"
    )


def make_archives(folder: Path, size: dict) -> list[tuple[str, Path]]:
    """Random weights of the given size in both precisions, and the shipped water model where it exists."""
    torch.manual_seed(0)
    model = TDN(ModelConfig(elements=("H", "O"), **size)).double()
    model.set_references(WATER_REFERENCES, 1.0)
    name = f"C={size['n_channels']} l_max={size['l_max']} {size['n_layers']} layers"
    archives = []
    for dtype in (torch.float64, torch.float32):
        path = folder / f"{dtype}.tdn.pt"
        write_archive(model, path, dtype=dtype)
        archives.append((name, path))
    if WATER_ARCHIVE.exists():
        archives.append(("examples/water", WATER_ARCHIVE))
    return archives


def describe(report: Report, device: str) -> None:
    """What the numbers were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    report.add(f"tdn {tdn.__version__}, torch {torch.__version__}, {device}: {name}, {time.strftime('%Y-%m-%d')}")
    tf32 = "on" if torch.backends.cuda.matmul.allow_tf32 else "off"
    report.add(f"TF32 {tf32}, {torch.get_num_threads()} CPU threads")


def benchmark(report: Report, device: str, sizes: tuple, model_size: dict, deadline: float) -> None:
    """Both tables."""
    describe(report, device)
    with tempfile.TemporaryDirectory() as folder:
        archives = make_archives(Path(folder), model_size)
        report.add(f"\nAgreement of {device} with the CPU, random water")
        for name, path in archives:
            compare(report, name, path, device, sizes[0])
        report.add(f"\nEnergy + forces, median after {WARM_UP} warm-up steps; memory: high-water mark of the device")
        report.add(
            f"{'model':<22}{'dtype':<9}{'atoms':>8}{'edges/at':>9}{'ms/step':>11}{'us/atom':>12}{'steps/s':>10}"
            f"{'GiB':>10}{'KiB/atom':>11}"
        )
        for name, path in reversed(archives):  # float64 last
            for copies in sizes:
                if time.monotonic() > deadline:
                    report.add("the rest was left out: the time limit is reached (--minutes)")
                    return
                measure(report, name, path, device, copies)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--self-check", action="store_true", help="run everything on the CPU at a tiny size")
    parser.add_argument("--minutes", type=float, default=6.0, help="start no further measurement after this time")
    options = parser.parse_args()
    report = Report()
    deadline = time.monotonic() + 60 * options.minutes
    if options.self_check:
        benchmark(report, "cpu", ((1, 1, 1), (2, 1, 1)), SELF_CHECK_SIZE, deadline)
    else:
        benchmark(report, "cuda", SIZES, PAPER_SIZE, deadline)
    report.write()
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
