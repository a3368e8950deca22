"""Starts several processes for one run with torch's launcher (that of torchrun), unless another launcher did."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdn.console import LOGGER
from tdn.errors import TDNError

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

    from tdn.config.run import TrainConfig

#: Seconds in which a process that must stop may finish its step and save.
PATIENCE = 120
#: Variables to set on every machine of a run that neither torchrun nor SLURM distributes.
MEETING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
#: Exit status of a process that ended because another had failed.
CONNECTION_LOST = 3
#: The same, and statuses of processes that the launcher has ended.
CONSEQUENCES = (CONNECTION_LOST, -signal.SIGTERM)
#: Signals that torch's launcher catches and passes on to the processes.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def launch(config: TrainConfig, n_processes: int, **how: Any) -> None:
    """Train with processes on this machine and, with ``num_nodes``, on others, where the same command runs.

    Args:
        config: configuration of the run.
        n_processes: number of processes to start here.
        how: arguments of ``tdn.training.run.train``.

    Raises:
        TDNError: a process failed (with its sentence), or the run was stopped.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    with tempfile.TemporaryDirectory(prefix="tdn_train_") as name, quiet_launcher():
        job = Path(name) / "job.pickle"
        job.write_bytes(pickle.dumps({"config": config, "how": how, "prints": LOGGER.isEnabledFor(logging.INFO)}))
        start = elastic_launch(launch_config(config.training.num_nodes, n_processes, name), sys.executable)
        try:
            start("-m", "tdn.training.worker", str(job))
        except (ChildFailedError, SignalException) as problem:
            raise TDNError(first_sentence(job.parent) or what_happened(problem)) from None


def launch_config(n_nodes: int, n_processes: int, folder: str) -> LaunchConfig:
    """Options of torch's launcher: no restarts, since a run continues from its checkpoint when the user says so."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=n_nodes,
        max_nodes=n_nodes,
        nproc_per_node=n_processes,
        run_id="tdn",
        max_restarts=0,
        shutdown_timeout=PATIENCE,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        **meeting_point(n_nodes),
    )


def meeting_point(n_nodes: int) -> dict[str, Any]:
    """Rendezvous of the machines of a run, as options of torch's launcher."""
    if n_nodes == 1:
        return {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
    missing = [name for name in MEETING if not os.environ.get(name)]
    if missing:
        raise TDNError(
            f"training.num_nodes is {n_nodes} but {', '.join(missing)} is not set; set {', '.join(MEETING)} on every "
            "machine, or start the run with torchrun or srun and leave devices at 0"
        )
    address, port, number = (os.environ[name] for name in MEETING)
    return {"rdzv_backend": "static", "rdzv_endpoint": f"{address}:{port}", "rdzv_configs": {"rank": int(number)}}


def first_sentence(folder: Path) -> str:
    """The sentence of the process that failed first, or nothing; errors of others follow from it."""
    written = sorted(folder.glob("*.sentence"), key=lambda path: path.stat().st_mtime_ns)
    return written[0].read_text(encoding="utf-8") if written else ""


def what_happened(problem: Exception) -> str:
    """How a process ended that left no sentence."""
    failures = getattr(problem, "failures", None)
    if not failures:
        return "training was stopped before a step was saved; start it again"
    own = {rank: failure for rank, failure in failures.items() if failure.exitcode not in CONSEQUENCES}
    rank, failure = min((own or failures).items(), key=lambda item: (item[1].timestamp, item[0]))
    if failure.exitcode == -signal.SIGKILL:
        return (
            f"process {rank} was killed, as systems do when memory runs out; lower training.batch_size, then --resume"
        )
    how = f"by signal {failure.signal_name()}" if failure.exitcode < 0 else f"with status {failure.exitcode}"
    return f"process {rank} of the training ended {how}; the lines above say why"


@contextmanager
def quiet_launcher() -> Iterator[None]:
    """Suppress reports of torch's launcher: our sentence replaces them."""
    logger = logging.getLogger("torch.distributed.elastic")
    handler, propagates = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    signals = (
        {number: signal.getsignal(number) for number in HANDLED}
        if threading.current_thread() is threading.main_thread()
        else {}
    )
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        for number, before in signals.items():
            signal.signal(number, before)
