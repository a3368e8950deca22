"""What needs torch is found for the installed torch, or compiled for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tdn
from tdn import torch_libraries as libraries
from tdn.errors import TDNError


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A package that was built where there was no torch, and an empty cache folder."""
    package = tmp_path / "tdn"
    package.mkdir()
    for name in (libraries.ENGINE, libraries.SOURCES):
        (package / name).symlink_to(libraries.package_file(name))
    monkeypatch.setattr(tdn, "__path__", [str(package)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(libraries.SCRIPT_VARIABLE, raising=False)
    libraries.cache_folder.cache_clear()
    yield package
    libraries.cache_folder.cache_clear()


def test_those_of_the_package_are_found():
    folder = libraries.provide()
    assert folder.name == libraries.torch_version()
    assert {path.name for path in folder.iterdir()} == {libraries.OPERATORS, libraries.SCRIPT_ENGINE}


def test_there_are_none_for_another_torch(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(libraries, "torch_version", lambda: "99.0.0")
    assert libraries.find() is None


def test_they_are_compiled_once_and_kept(elsewhere, monkeypatch, capsys):
    compiled = []

    def compile_for(version: str, target: Path) -> None:
        compiled.append(version)
        target.mkdir()
        for name in (libraries.OPERATORS, libraries.SCRIPT_ENGINE):
            (target / name).touch()

    monkeypatch.setattr(libraries, "compile_for", compile_for)
    assert libraries.find() is None
    folder = libraries.provide()
    assert folder == libraries.provide() == libraries.find()
    assert compiled == [libraries.torch_version()]
    assert "compiling libtdn_ops.so and libtdn_script.so for torch" in capsys.readouterr().err
    libraries.offer_script_engine()
    assert os.environ[libraries.SCRIPT_VARIABLE] == str(folder / libraries.SCRIPT_ENGINE)


def test_the_sources_in_the_package_configure(elsewhere, tmp_path, monkeypatch):
    """Everything up to the compiler, which takes minutes."""
    commands = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
        commands.append(command)
        if "--build" in command:
            return subprocess.CompletedProcess(command, 1, "the compiler says no")
        return real_run(command, **options)

    real_run = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(TDNError, match=r"could not be compiled for torch .*a C\+\+20 compiler") as caught:
        libraries.provide()
    assert [("--build" in command) for command in commands] == [False, True]
    log = Path(str(caught.value).split("see '")[1].split("'")[0])
    assert log.read_text() == "the compiler says no"


def test_no_torch_is_one_sentence(elsewhere, monkeypatch):
    monkeypatch.setattr(libraries, "torch_version", lambda: None)
    with pytest.raises(
        TDNError, match=r"needs torch, which is not installed; install it with pip install '.\[train\]'"
    ):
        libraries.provide()


def test_the_module_prints_the_folder():
    done = subprocess.run([sys.executable, "-m", "tdn.torch_libraries"], capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip()) == libraries.provide()
