"""What every benchmark says of the machine, where its table and figure go, and how it reads the memory of a process."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import tdn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def machine() -> str:
    """Versions, processor and date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
    return f"tdn {tdn.__version__}, torch {torch.__version__}, {processor}, {time.strftime('%Y-%m-%d')}"


def parser(text: str | None) -> argparse.ArgumentParser:
    """Options of every benchmark."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, help="also write the table here")
    return made


def publish(lines: list[str], output: Path | None, figure: Figure | None = None) -> None:
    """Print the table and write it where asked, the figure beside it as a PNG."""
    print("\n".join(lines))
    if output:
        output.write_text("\n".join(lines) + "\n")
        if figure is not None:
            figure.savefig(output.with_suffix(".png"), dpi=120)


def verdict(met: bool) -> str:
    """Word for an aim."""
    return "met" if met else "missed"


def forget_peak() -> None:
    """Let :func:`peak_memory` count from what this process uses now; pages that were freed go back before."""
    with contextlib.suppress(AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most bytes that this process has held (VmHWM of Linux)."""
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
