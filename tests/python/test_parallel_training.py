"""Several processes: the same loss curve as one, exact validation, one writer; each process on one thread."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from tiny import settings, write

from tdn.errors import TDNError
from tdn.training.checkpoint import read_checkpoint
from tdn.training.parallel import accelerator, is_first, layout
from tdn.training.sections import TrainingConfig

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
    """Eleven structures for training and three for validation: nothing divides by two."""
    write(tmp_path / "train.xyz", hydrocarbons(11, 0))
    write(tmp_path / "valid.xyz", hydrocarbons(3, 50))
    return tmp_path


def run(folder: Path, name: str, devices: int, *flags: str, launcher: tuple[str, ...] = (), **training) -> str:
    """Train in a process of its own, which starts the others; returns what was printed."""
    content = settings(**({"batch_size": 4, "max_epochs": 3, "devices": devices, "num_threads": 1} | training))
    content |= {"run_dir": name, "data": {"train": "train.xyz", "valid": "valid.xyz"}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PYTEST"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [*(launcher or (sys.executable,)), "-m", "tdn.cli", "train", str(folder / f"{name}.yaml"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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


def test_a_run_goes_on_with_another_number_of_processes(folder):
    run(folder, "one", 1, max_epochs=1)
    shutil.copytree(folder / "one", folder / "two")
    for name, devices in (("one", 1), ("two", 2)):
        run(folder, name, devices, "--resume", max_epochs=2)
    assert len(rows_of(folder, "two")) == 2
    assert_same_run(folder, "one", "two")


class TestLayout:
    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch):
        for name in list(os.environ):
            if name.startswith("SLURM") or name.endswith(("RANK", "WORLD_SIZE")):
                monkeypatch.delenv(name)

    def test_one_process_unless_told(self):
        assert layout(TrainingConfig()) == (1, 1)
        assert layout(TrainingConfig(devices=4, num_nodes=2)) == (4, 2)
        assert is_first()

    def test_torchrun(self, monkeypatch):
        for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        assert layout(TrainingConfig()) == (4, 2)
        assert not is_first()

    def test_slurm(self, monkeypatch):
        monkeypatch.setenv("SLURM_NTASKS", "8")  # of the job; its batch script is one process
        monkeypatch.setenv("SLURM_PROCID", "0")
        assert layout(TrainingConfig()) == (1, 1)
        for name, value in {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}.items():
            monkeypatch.setenv(name, value)
        assert layout(TrainingConfig()) == (4, 2)
        assert is_first()

    @pytest.mark.parametrize(("name", "first"), [("NODE_RANK", False), ("LOCAL_RANK", False), ("MASTER_PORT", True)])
    def test_processes_that_the_first_one_started(self, monkeypatch, name, first):
        monkeypatch.setenv(name, "1")
        assert is_first() == first

    def test_more_processes_than_gpus(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        with pytest.raises(TDNError, match=r"training\.devices is 4 but torch sees 2 GPUs; give fewer, or device: cpu"):
            accelerator("cuda", 4)
        assert (accelerator("auto", 2), accelerator("cpu", 4)) == ("gpu", "cpu")
