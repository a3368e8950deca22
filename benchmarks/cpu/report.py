"""What every benchmark says of the machine, and where its table goes."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import torch

import tdn


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


def publish(lines: list[str], output: Path | None) -> None:
    """Print the table and write it where asked."""
    print("\n".join(lines))
    if output:
        output.write_text("\n".join(lines) + "\n")
