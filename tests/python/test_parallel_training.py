"""Several processes: the same loss curve as one, exact validation, one writer; each process on one thread."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from tiny import settings, write

from tdn.checkpoints import read_checkpoint
from tdn.config.training import TrainingConfig
from tdn.errors import TDNError
from tdn.training.launch import meeting_point
from tdn.training.layout import Place, first_host, is_first, own_device, own_place, to_start

TIMEOUT = 240


def hydrocarbons(n: int, seed: int) -> list:
    """Molecules of 2 to 14 atoms with labels by EMT, some without an energy or forces."""
    names = ("C2H2", "N2", "C2H6", "CH4", "C6H6", "CO", "isobutane")
    frames = []
    for index in range(n):
        atoms = molecule(names[index % len(names)])
        atoms.rattle(0.1, seed=seed + index)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if index % 5 == 3:
            del results["forces" if index % 2 else "energy"]
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


@pytest.fixture
def folder(tmp_path) -> Path:
    return with_data(tmp_path)


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory) -> Path:
    """A folder with an epoch of one process in ``one``, to compare with."""
    folder = with_data(tmp_path_factory.mktemp("one"))
    run(folder, "one", 1, max_epochs=1)
    return folder


def with_data(folder: Path) -> Path:
    """Eleven structures for training and three for validation: nothing divides by two."""
    write(folder / "train.xyz", hydrocarbons(11, 0))
    write(folder / "valid.xyz", hydrocarbons(3, 50))
    return folder


def run(folder: Path, name: str, devices: int, *flags: str, launcher: tuple[str, ...] = (), **training) -> str:
    """Train in a process of its own, which starts the others; returns what was printed."""
    content_of(folder, name, devices=devices, **training)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PYTEST"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [*(launcher or (sys.executable,)), "-m", "tdn.cli", "train", str(folder / f"{name}.yaml"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def content_of(folder: Path, name: str, **training) -> None:
    """Write a configuration."""
    content = settings(**({"batch_size": 4, "max_epochs": 3, "num_threads": 1} | training))
    content |= {"run_dir": name, "data": {"train": "train.xyz", "valid": "valid.xyz"}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def rows_of(folder: Path, name: str) -> list[dict[str, float]]:
    rows = read_checkpoint(folder / name / "last.ckpt")["run"]["history"]
    return [{key: value for key, value in row.items() if key != "elapsed_s"} for row in rows]


def assert_same_run(folder: Path, first: str, second: str) -> None:
    """Loss curves, errors and weights to rounding."""
    for one, other in zip(rows_of(folder, first), rows_of(folder, second), strict=True):
        assert other == pytest.approx(one, rel=1e-9, abs=1e-9)
    states = [read_checkpoint(folder / name / "last.ckpt")["state_dict"] for name in (first, second)]
    for name, value in states[0].items():
        if name.endswith("head_out.bias"):
            continue  # drops out of every energy: its gradient is rounding, which Adam makes a step of
        torch.testing.assert_close(states[1][name], value, rtol=1e-8, atol=1e-10)


def test_two_processes_are_one(folder):
    """The last batch of three structures gives shares of two and one."""
    run(folder, "one", 1)
    printed = run(folder, "two", 2)
    assert_same_run(folder, "one", "two")
    assert sum(line.startswith("epoch 1/3") for line in printed.splitlines()) == 1


def test_processes_of_torchrun(folder):
    """``devices`` is left to the launcher; structures and atoms are counted over all processes, as components are.

    Batches by edges leave a process without a structure in some steps.
    """
    options = {"max_edges": 60, "force_loss": "rmse", "energy_loss": "mae", "max_epochs": 2}
    run(folder, "one", 1, **options)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    printed = run(folder, "launched", 0, launcher=launcher, **options)
    assert_same_run(folder, "one", "launched")
    assert sum(line.startswith("epoch 1/2") for line in printed.splitlines()) == 1


def test_a_run_goes_on_with_another_number_of_processes(folder, one_epoch):
    for name in ("one", "two"):
        shutil.copytree(one_epoch / "one", folder / name)
    for name, devices in (("one", 1), ("two", 2)):
        run(folder, name, devices, "--resume", max_epochs=2)
    assert len(rows_of(folder, "two")) == 2
    assert_same_run(folder, "one", "two")


def started(commands: list[tuple[dict[str, str], list[str]]], folder: Path) -> list[str]:
    """What processes print that are started together, each with its environment."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PYTEST"))}
    bare |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    processes = [
        subprocess.Popen(
            command, env=bare | own, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for own, command in commands
    ]
    try:
        printed = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), printed
    return printed


def test_machines_of_slurm(one_epoch):
    """Two processes as srun would start them on two machines; both are this one."""
    folder = one_epoch
    content_of(folder, "slurm", devices=0, max_epochs=1)
    common = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_LOCALID": "0"}
    common |= {"SLURM_STEP_NODELIST": "localhost,other[1-3]", "SLURM_JOB_ID": str(os.getpid())}
    command = [sys.executable, "-m", "tdn.cli", "train", "slurm.yaml"]
    printed = started([(common | {"SLURM_PROCID": str(rank)}, command) for rank in range(2)], folder)
    assert_same_run(folder, "one", "slurm")
    assert [text.count("epoch 1/1") for text in printed] == [1, 0]


@pytest.mark.parametrize("launcher", ["torchrun", "own"])
def test_machines_without_slurm(one_epoch, launcher):
    """The same command on two machines, one process each; both machines are this one."""
    folder, nodes = one_epoch, {"num_nodes": 2, "devices": 1} if launcher == "own" else {"devices": 0}
    content_of(folder, launcher, max_epochs=1, **nodes)
    port = str(free_port())
    train = ["-m", "tdn.cli", "train", f"{launcher}.yaml"]
    commands = []
    for node in range(2):
        own = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "NODE_RANK": str(node)}
        flags = ["--nnodes", "2", "--node-rank", str(node), "--master-addr", "localhost", "--master-port", port]
        torchrun = ["-m", "torch.distributed.run", *flags, *train]
        commands.append((own, [sys.executable, *train]) if launcher == "own" else ({}, [sys.executable, *torchrun]))
    printed = started(commands, folder)
    assert_same_run(folder, "one", launcher)
    assert sum(text.count("epoch 1/1") for text in printed) == 1


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("how", ["sentence", "killed"])
def test_a_process_that_fails_ends_the_run_with_one_sentence(folder, how):
    """Only the second process fails; the first would wait for it forever."""
    (folder / "sitecustomize.py").write_text(FAILING)
    content_of(folder, "run", devices=2)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PYTEST"))}
    environment |= {"PYTHONPATH": str(folder), "TDN_TEST_FAILURE": how, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tdn.cli", "train", "run.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, cwd=folder)
    assert done.returncode == 1
    messages = {
        "sentence": "tdn train: the disk of the second process is full; empty it",
        "killed": "tdn train: process 1 was killed, as systems do when memory runs out; lower",
    }
    *above, last = done.stderr.splitlines()
    assert last.startswith(messages[how])
    assert not [line for line in above if "Warning" not in line and not line.startswith("  ")], done.stderr


#: Runs when a Python starts: the second process of a run fails after its first step.
FAILING = """
import os, sys
if os.environ.get("RANK") == "1":
    from tdn.errors import TDNError
    from tdn.training.loop import Loop
    def fail(self, graph, n_batches):
        how = os.environ["TDN_TEST_FAILURE"]
        if how == "sentence":
            raise TDNError("the disk of the second process is full; empty it")
        os.kill(os.getpid(), 9)
    Loop.train_batch = fail
"""


def test_stopped_politely(folder):
    """SIGTERM to the command reaches its processes: they finish the step and save it."""
    content_of(folder, "run", devices=2, max_epochs=500)
    command = [sys.executable, "-m", "tdn.cli", "train", "run.yaml"]
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    last, give_up = folder / "run" / "last.ckpt", time.monotonic() + TIMEOUT
    while not last.exists() and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    step = read_checkpoint(last)["run"]["step"]
    assert errors.splitlines()[-1] == f"tdn train: training was stopped; step {step} is saved; continue with --resume"


def test_processes_end_with_the_command(folder):
    """A command that is killed leaves nobody behind who goes on writing."""
    content_of(folder, "run", devices=2, max_epochs=100_000)
    command = [sys.executable, "-m", "tdn.cli", "train", "run.yaml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last, give_up = folder / "run" / "last.ckpt", time.monotonic() + TIMEOUT
    while not last.exists() and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.05)
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait(TIMEOUT)
    while any(map(is_running, workers)) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


class TestLayout:
    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch):
        for name in list(os.environ):
            if name.startswith(("SLURM", "MASTER")) or name.endswith(("RANK", "WORLD_SIZE")):
                monkeypatch.delenv(name)

    @pytest.fixture
    def gpus(self, monkeypatch):
        """A machine with two GPUs."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def test_one_process_unless_told(self):
        assert own_place() == Place()
        assert is_first()
        assert to_start(TrainingConfig(device="cpu")) == 0
        assert to_start(TrainingConfig(device="cpu", devices=1)) == 0
        assert to_start(TrainingConfig(device="cpu", devices=4)) == 4
        assert to_start(TrainingConfig(device="cpu", num_nodes=2)) == 1

    def test_torchrun(self, monkeypatch):
        for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        assert own_place() == Place(5, 8, 1, 4, "env://")
        assert not is_first()
        assert to_start(TrainingConfig()) == to_start(TrainingConfig(devices=4)) == 0
        with pytest.raises(TDNError, match=r"devices is 2 but torchrun or SLURM started 4 processes .*; leave"):
            to_start(TrainingConfig(devices=2))

    def test_slurm(self, monkeypatch):
        monkeypatch.setenv("SLURM_NTASKS", "8")  # of the job; its batch script is one process
        monkeypatch.setenv("SLURM_PROCID", "0")
        assert own_place() == Place()
        step = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_LOCALID": "2", "SLURM_PROCID": "6"}
        step |= {"SLURM_STEP_NODELIST": "gpu[007-008],login", "SLURM_JOB_ID": "100", "SLURM_STEP_ID": "1"}
        for name, value in step.items():
            monkeypatch.setenv(name, value)
        assert own_place() == Place(6, 8, 2, 4, "tcp://gpu007:15101")
        assert not is_first()
        monkeypatch.setenv("MASTER_ADDR", "here")
        monkeypatch.setenv("MASTER_PORT", "1234")
        assert own_place().address == "tcp://here:1234"

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [("a", "a"), ("a1,b2", "a1"), ("n[03-05,7],x", "n03"), ("r[1,4]n[2-3]", "r1n2"), ("n[7]", "n7")],
    )
    def test_first_machine_of_slurm(self, nodes, first):
        assert first_host(nodes) == first

    def test_more_processes_than_gpus(self, gpus):
        with pytest.raises(TDNError, match=r"training\.devices is 4 but torch sees 2 GPUs; give fewer, or device: cpu"):
            to_start(TrainingConfig(devices=4))
        assert to_start(TrainingConfig(devices=4, device="cpu")) == 4

    def test_each_process_has_its_gpu(self, gpus, monkeypatch):
        assert str(own_device("auto", Place())) == "cuda"
        assert str(own_device("auto", Place(3, 4, 1, 2))) == "cuda:1"
        assert str(own_device("cpu", Place(3, 4, 1, 2))) == "cpu"
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        assert str(own_device("cuda", Place(3, 4, 1, 2, "tcp://a:1"))) == "cuda"  # SLURM shows each its own
        with pytest.raises(TDNError, match="devices is 2 but torch sees 1 GPUs"):
            own_device("cuda", Place(3, 4, 1, 2))

    def test_machines_that_do_not_know_each_other(self):
        with pytest.raises(TDNError, match=r"num_nodes is 2 but MASTER_ADDR, MASTER_PORT, NODE_RANK is not set; set"):
            meeting_point(2)
