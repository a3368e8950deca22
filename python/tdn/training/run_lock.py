"""One run at a time in a folder, and no folder left behind by a start that failed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tdn.errors import TDNError, quoted

logger = logging.getLogger(__name__)

LOCK_FILE = "run.lock"


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock the folder of a run for this process, and create it if it does not exist.

    Created folders are removed again if they hold nothing but the lock at the end.

    Raises:
        TDNError: a run that is alive holds the folder, or it is unknown whether it is alive.
    """
    if folder.exists() and not folder.is_dir():
        raise TDNError(f"run_dir '{folder}' is a file; name a folder for the results")
    made = make_folders(folder)
    try:
        take_lock(folder / LOCK_FILE)
        try:
            yield
        finally:
            (folder / LOCK_FILE).unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # stop at the first that is not empty
            for one in made:
                one.rmdir()


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; returns the new ones, the innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise TDNError(f"run_dir '{folder}' cannot be created ({problem.strerror}); name another folder") from None
    return missing


def take_lock(path: Path) -> None:
    """Write this process into the lock file, unless it holds another that may be alive."""
    with opened_alone(path) as file:
        holder = file.read()
        if holder.strip():
            logger.warning(check_dead(holder, path))
        file.seek(0)
        file.truncate()
        json.dump(identity(), file)


@contextmanager
def opened_alone(path: Path) -> Iterator[IO[str]]:
    """The file, created if missing, while no other process that calls this has it open."""
    while True:
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(path, "a+", encoding="utf-8", errors="replace"))
            except OSError as problem:
                raise TDNError(f"'{path}' cannot be written ({problem.strerror}); name another run_dir") from None
            with contextlib.suppress(OSError):  # a file system without locks: only the content protects
                fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(file, path):  # else its holder removed it while we waited
                file.seek(0)
                yield file
                return


def is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def identity() -> dict[str, Any]:
    """Identity of this process; process IDs are reused, but not with the same start time."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "born": born(pid), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def born(pid: int) -> str | None:
    """Start time of a process in the units of this machine; None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return None


def check_dead(holder: str, path: Path) -> str:
    """Refuse unless the holder of a lock is known to have ended; returns a sentence about the holder."""
    try:
        found = json.loads(holder)
        host, pid, since = str(found["host"]), int(found["pid"]), str(found["since"])
    except (ValueError, TypeError, KeyError):
        raise TDNError(
            f"'{path}' holds {quoted(holder)}, which is not the lock of a run; remove it if no run uses the folder"
        ) from None
    who = f"process {pid} on {quoted(host)} since {quoted(since)}"
    if host != socket.gethostname():
        raise TDNError(
            f"the run folder '{path.parent}' is in use by {who}; wait, or remove '{path}' if that run is dead"
        )
    if is_alive(pid, found.get("born")):
        raise TDNError(
            f"the run folder '{path.parent}' is in use by {who}; wait for it to end, or choose another run_dir"
        )
    return f"The run that held '{path.parent}' ({who}) has ended without removing its lock; it is taken over."


def is_alive(pid: int, birth: str | None) -> bool:
    """Whether the process with this start time still exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    now = born(pid)
    return birth is None or now is None or birth == now
