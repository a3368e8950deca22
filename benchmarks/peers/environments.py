"""Virtual environments of the peers, one each, made on first use with pinned versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TextIO

#: Installed first and alone: the same torch for all, so that no package picks one of its own.
TORCH = "torch==2.13.0"
#: Versions that the adapters were written for.
PEERS = {
    "mace": ("mace-torch==0.3.16",),
    "nequip": ("nequip==0.19.1", "nequip-allegro==0.8.3"),
    "sevenn": ("sevenn==0.13.0",),
    "torchmdnet": ("torchmd-net==3.1.0",),
}
#: Seconds that one call of pip may take.
PATIENCE = 1800


class InstallationError(Exception):
    """An environment could not be made; the message is one line."""


def python_of(folder: Path, name: str) -> Path:
    """Interpreter of an environment, which is installed if it is not there or has other versions; ours for tdn."""
    if name == "tdn":
        return Path(sys.executable)
    environment = folder / name
    python, installed = environment / "bin" / "python", environment / "installed.txt"
    wanted = "\n".join((TORCH, *PEERS[name])) + "\n"
    if not installed.is_file() or installed.read_text() != wanted:
        print(f"installing {name}: {', '.join(PEERS[name])}", file=sys.stderr, flush=True)
        install(environment, python)
        installed.write_text(wanted)
    return python


def install(environment: Path, python: Path) -> None:
    """Make an environment; what pip says goes into a file beside it."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_suffix(".log").open("w") as log:
        if not python.is_file():
            call([sys.executable, "-m", "venv", str(environment)], log)
        for requirements in ((TORCH,), PEERS[environment.name]):
            call([str(python), "-m", "pip", "--disable-pip-version-check", "install", TORCH, *requirements], log)


def call(command: list[str], log: TextIO) -> None:
    """Run, or say in one line why it failed."""
    try:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise InstallationError(f"installation took more than {PATIENCE} s, see {log.name}") from None
    if done.returncode != 0:
        lines = Path(log.name).read_text().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no message"]
        raise InstallationError(f"installation failed ({errors[0]}), see {log.name}")
