"""One of the processes that ``launch`` starts: reads its job, trains, and leaves a sentence when it fails."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from tdn.console import printed_log
from tdn.errors import TDNError
from tdn.training.launch import CONNECTION_LOST
from tdn.training.layout import own_place
from tdn.training.parallel import LostConnectionError
from tdn.training.run import train

#: Seconds between checks of the process that started this one.
LOOK_EVERY = 1.0


def main(path: Path) -> int:
    """Run the job in a file; the exit status says whether it succeeded."""
    threading.Thread(target=stop_without_parent, args=(os.getppid(),), daemon=True).start()
    job = pickle.loads(path.read_bytes())
    share_cores()
    try:
        with printed_log() if job["prints"] else nullcontext():
            train(job["config"], **job["how"])
    except LostConnectionError:
        return CONNECTION_LOST
    except TDNError as problem:
        path.with_name(f"{own_place().rank}.sentence").write_text(str(problem), encoding="utf-8")
        return 1
    return 0


def share_cores() -> None:
    """Give each process of a machine an equal number of threads, unless ``OMP_NUM_THREADS`` says how many."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // own_place().local_world))


def stop_without_parent(parent: int) -> None:
    """End this process as SIGTERM does once the one that started it has died, so that none keeps training unseen."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to do, and threads of torch may abort a process while Python takes itself apart.
    os._exit(status)
