"""The folder of a run: one writer at a time, and nothing left behind by a start that fails."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest
import torch
import yaml
from tiny import changed, crystals, history, settings, start, write

from tdn.errors import TDNError
from tdn.training import run
from tdn.training.run_lock import LOCK_FILE, identity, locked_folder


@pytest.fixture
def folder(tmp_path):
    """A folder with training structures."""
    write(tmp_path / "train.xyz", crystals(8))
    return tmp_path


def ended_process() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def hold(folder, entered, leave):
    with locked_folder(folder):
        entered.set()
        leave.wait(60)


def compete(folder, barrier, results):
    """Try to hold the folder at the same moment as others."""
    barrier.wait(60)
    try:
        with locked_folder(folder):
            results.put("held")
            time.sleep(0.5)
    except TDNError:
        results.put("refused")


class TestLock:
    def test_is_there_while_the_run_lives(self, folder, monkeypatch):
        seen = []
        loop = run.Loop.run
        monkeypatch.setattr(
            run.Loop, "run", lambda *a: (seen.append((folder / "run" / LOCK_FILE).read_text()), loop(*a))[1]
        )
        start(folder, settings(max_epochs=1))
        assert json.loads(seen[0])["pid"] == os.getpid()
        assert not (folder / "run" / LOCK_FILE).exists()

    @pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
    def test_second_run_is_refused(self, folder, how):
        start(folder, settings(max_epochs=1))
        context = multiprocessing.get_context("fork")
        entered, leave = context.Event(), context.Event()
        other = context.Process(target=hold, args=(folder / "run", entered, leave))
        other.start()
        assert entered.wait(60)
        before = (folder / "run" / "last.ckpt").read_bytes()
        with pytest.raises(
            TDNError, match=rf"run' is in use by process {other.pid} on '.*' since '.*'; wait for it to end, or choose"
        ):
            start(folder, settings(max_epochs=2), **how)
        assert (folder / "run" / "last.ckpt").read_bytes() == before
        leave.set()
        other.join(60)
        start(folder, settings(max_epochs=2), resume=True)
        assert len(history(folder)) == 2

    def test_one_of_many_that_come_together(self, tmp_path):
        context = multiprocessing.get_context("fork")
        barrier, results = context.Barrier(4), context.Queue()
        (tmp_path / "run").mkdir()
        dead = identity() | {"pid": ended_process()}
        (tmp_path / "run" / LOCK_FILE).write_text(json.dumps(dead))
        others = [context.Process(target=compete, args=(tmp_path / "run", barrier, results)) for _ in range(4)]
        for other in others:
            other.start()
        assert sorted(results.get(timeout=60) for _ in others) == ["held", "refused", "refused", "refused"]
        for other in others:
            other.join(60)

    def test_lock_of_a_dead_process_is_taken_over(self, folder):
        start(folder, settings(max_epochs=1))
        pid = ended_process()
        (folder / "run" / LOCK_FILE).write_text(json.dumps(identity() | {"pid": pid}))
        lines = start(folder, settings(max_epochs=2), resume=True)
        assert any(f"process {pid} on" in line and "it is taken over" in line for line in lines)

    def test_number_of_a_process_that_is_used_again(self, tmp_path):
        (tmp_path / LOCK_FILE).write_text(json.dumps(identity() | {"born": "earlier"}))
        with locked_folder(tmp_path):
            pass

    def test_lock_of_another_machine(self, tmp_path):
        (tmp_path / LOCK_FILE).write_text(json.dumps(identity() | {"host": "far\x1b[2J"}))
        with pytest.raises(TDNError, match=r"by process \d+ on 'far\\x1b\[2J' since .*; wait, or remove '.*run\.lock'"):
            locked_folder(tmp_path).__enter__()

    @pytest.mark.parametrize("content", ["", "\n"])
    def test_empty_lock(self, tmp_path, content):
        (tmp_path / LOCK_FILE).write_text(content)
        with locked_folder(tmp_path):
            assert json.loads((tmp_path / LOCK_FILE).read_text())["host"] == socket.gethostname()

    @pytest.mark.parametrize("content", ["x", "[1]", '{"host": 1}', "\x00\xff"])
    def test_something_else(self, tmp_path, content):
        (tmp_path / LOCK_FILE).write_text(content)
        with pytest.raises(TDNError, match="which is not the lock of a run; remove it if no run uses the folder"):
            locked_folder(tmp_path).__enter__()

    def test_killed_run_resumes(self, folder):
        """SIGKILL leaves the lock; the next start on this machine sees that its holder is gone."""
        content = settings(max_epochs=2000, save_every_steps=1)
        (folder / "train.yaml").write_text(yaml.safe_dump(content))
        process = subprocess.Popen([sys.executable, "-m", "tdn.cli", "train", str(folder / "train.yaml")])
        deadline = time.monotonic() + 120
        while not (folder / "run" / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait(60)
        assert (folder / "run" / LOCK_FILE).exists()
        with pytest.raises(TDNError, match="exists; continue with --resume"):
            start(folder, settings(max_epochs=1))
        start(folder, content, resume=True, stop_after=1)
        assert not (folder / "run" / LOCK_FILE).exists()


class TestFailedStart:
    @pytest.mark.parametrize(
        ("section", "options"),
        [
            ("data", {"train": "nothing.xyz"}),
            ("data", {"valid": "broken.xyz"}),
            ("data", {"references": {"Cu": 1.0}}),
            ("model", {"elements": ["Cu"]}),
            ("training", {"init_from": "nothing.ckpt"}),
            pytest.param(
                "training",
                {"device": "cuda"},
                marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
            ),
        ],
    )
    @pytest.mark.parametrize("run_dir", ["run", "new/deep/run"])
    def test_leaves_no_folder(self, folder, section, options, run_dir):
        (folder / "broken.xyz").write_text("2\n\nCu 0 0 0\n")
        before = sorted(folder.iterdir())
        with pytest.raises(TDNError):
            start(folder, changed(settings(), section, **options) | {"run_dir": run_dir})
        assert sorted(folder.iterdir()) == before

    def test_not_even_in_the_first_step(self, folder, monkeypatch):
        def broken(*_):
            raise ValueError("out of memory")

        monkeypatch.setattr(run.Loop, "run", broken)
        before = sorted(folder.iterdir())
        with pytest.raises(ValueError, match="out of memory"):
            start(folder, settings())
        assert sorted(folder.iterdir()) == before

    def test_nothing_to_resume(self, folder):
        with pytest.raises(TDNError, match=r"last\.ckpt' does not exist"):
            start(folder, settings(), resume=True)
        assert not (folder / "run").exists()

    def test_what_the_user_keeps_there_stays(self, folder):
        (folder / "run").mkdir()
        (folder / "run" / "notes.txt").write_text("mine")
        with pytest.raises(TDNError):
            start(folder, changed(settings(), "data", train="nothing.xyz"), overwrite=True)
        assert [path.name for path in (folder / "run").iterdir()] == ["notes.txt"]

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_overwrite_that_fails_late_keeps_the_old_run(self, folder):
        start(folder, settings(max_epochs=1))
        with pytest.raises(TDNError, match="no GPU"):
            start(folder, settings(device="cuda"), overwrite=True)
        assert len(history(folder)) == 1

    def test_file_in_place_of_the_folder(self, folder):
        (folder / "run").write_text("mine")
        with pytest.raises(TDNError, match=r"run_dir '.*run' is a file; name a folder"):
            start(folder, settings())
        with pytest.raises(TDNError, match=r"run_dir '.*' cannot be created \(Not a directory\); name another folder"):
            start(folder, settings() | {"run_dir": "run/deeper"})
