"""A run that is killed again and again, at any moment, ends as one that never was: bit for bit on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import yaml
from test_training import assert_same
from tiny import changed, crystals, settings, start, write

from tdn.checkpoints import KEY, read_checkpoint
from tdn.config.run import load_config
from tdn.errors import TDNError
from tdn.training import run
from tdn.training.module import TrainingModule

TIMEOUT = 300
#: Most kills of one run; it is then left to finish.
KILLS = 3


def content_of(variant: str) -> dict:
    """A run of some seconds with a checkpoint after every second step."""
    content = settings(max_epochs=6, save_every_steps=2, num_threads=1, second_stage={"start": 0.6, "energy_weight": 9})
    if variant == "dropout":
        return changed(content, "model", attention_dropout=0.2)
    if variant == "muon":
        content = changed(content, "model", n_channels=16, radial_hidden=[16, 16])
        return changed(content, "training", optimizer="muon")
    if variant == "workers":
        content = changed(content, "data", memory=0.0, sample=3)
        return changed(content, "training", workers=1, schedule="plateau", max_edges=400)
    return content


def go(folder: Path, resume: bool) -> None:
    """What the process of a run does; its own workers are forks, as in a run from the command line."""
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("plot_learning_curve", "plot_parity"):
        setattr(run, name, lambda *_: None)
    run.train(load_config(folder / "train.yaml"), resume=resume)


def begin(folder: Path, resume: bool) -> BaseProcess:
    """Start a run in a process of its own, which needs no second for imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tdn.training.run"])
    process = context.Process(target=go, args=(folder, resume))
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    process.join(TIMEOUT)
    assert process.exitcode == 0


def killed(process: BaseProcess, last: Path, delay: float) -> bool:
    """Kill a run some time after it has written its next checkpoint; False if it had ended."""
    before, give_up = stamp(last), time.monotonic() + TIMEOUT
    while stamp(last) == before and process.is_alive() and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(delay)
    if not process.is_alive():
        return False
    process.kill()
    process.join(TIMEOUT)
    return True


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.parametrize("variant", ["plain", "dropout", "workers", "muon"])
def test_killed_and_resumed_is_uninterrupted(tmp_path, variant):
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        folder.mkdir()
        write(folder / "train.xyz", crystals(16))
        (folder / "train.yaml").write_text(yaml.safe_dump(content_of(variant)))
    finish(begin(folders["whole"], resume=False))
    times = random.Random(variant)
    last, kills = folders["killed"] / "run" / "last.ckpt", 0
    process = begin(folders["killed"], resume=False)
    while kills < KILLS and killed(process, last, times.uniform(0.0, 0.15)):
        kills += 1
        assert read_checkpoint(last)["run"]["step"] > 0  # whole, whenever the process died
        process = begin(folders["killed"], resume=True)
    finish(process)
    assert kills > 0
    for name in ("last.ckpt", "best.ckpt"):
        whole, resumed = (read_checkpoint(folder / "run" / name) for folder in folders.values())
        for part in ("state_dict", "optimizer_states", KEY, "run"):
            assert_same(whole[part], resumed[part], part)
    logs = [(folder / "run" / "metrics.csv").read_text().splitlines() for folder in folders.values()]
    assert len(logs[0]) == len(logs[1]) == 7


def test_polite_end_saves_the_step(tmp_path):
    """SIGTERM, as of a batch system whose time is over: the current step is finished and saved."""
    write(tmp_path / "train.xyz", crystals(16))
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings(max_epochs=500, num_threads=1)))
    process = begin(tmp_path, resume=False)
    last, give_up = tmp_path / "run" / "last.ckpt", time.monotonic() + TIMEOUT
    while not last.exists() and process.is_alive() and time.monotonic() < give_up:
        time.sleep(0.01)
    process.terminate()
    process.join(TIMEOUT)
    assert process.exitcode == 1  # by the error, not by the signal
    content = read_checkpoint(last)["run"]
    assert content["step"] == 6 * content["epoch"] + content["batch"]


def test_interruption_says_how_to_go_on(tmp_path, monkeypatch):
    write(tmp_path / "train.xyz", crystals(8))
    original = TrainingModule.training_step

    def step_with_signal(module, share):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(module, share)

    monkeypatch.setattr(TrainingModule, "training_step", step_with_signal)
    with pytest.raises(TDNError, match="training was stopped; step 1 is saved; continue with --resume"):
        start(tmp_path, settings())
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["run"]["batch"] == 1


def test_saved_between_epochs_by_an_earlier_version(tmp_path, monkeypatch):
    """Its checkpoints know their history, but no position within an epoch."""
    for name in ("plot_learning_curve", "plot_parity"):
        monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)
    write(tmp_path / "train.xyz", crystals(8))
    start(tmp_path, settings() | {"run_dir": "whole"})
    start(tmp_path, settings(), stop_after=2)
    last = tmp_path / "run" / "last.ckpt"
    content = read_checkpoint(last)
    content["run"] = {name: content["run"][name] for name in ("history", "elapsed_s")}
    for name in ("max_edges", "compile", "optimizer"):
        del content[KEY]["training"]["config"]["training"][name]
    torch.save(content, last)
    start(tmp_path, settings(), resume=True)
    whole, resumed = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "run"))
    assert_same(whole["state_dict"], resumed["state_dict"])
