"""Builds targets of tests/cpp with CMake, in a folder that is kept between sessions."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "cpp_tests"
BIN = Path(sys.executable).parent
#: What the tests need is short to compile; torch itself is optimized.
OPTIONS = (
    "-DTDN_BUILD_TESTS=ON",
    "-DTDN_BUILD_PLUGIN=OFF",
    "-DTDN_BUILD_PYTHON=OFF",
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1",
)


def build(*targets: str) -> Path:
    """Configure and build; return the folder of the programs. The calling test is skipped without a compiler."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        pytest.skip("no C++ compiler was found")
    if not (BIN / "cmake").exists() or not (BIN / "ninja").exists():
        pytest.skip("cmake and ninja are not installed beside the Python interpreter")
    tools = [f"-DCMAKE_MAKE_PROGRAM={BIN / 'ninja'}", f"-DPython_EXECUTABLE={sys.executable}"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:  # test processes share the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        call(str(BIN / "cmake"), "-S", str(ROOT), "-B", str(FOLDER), "-G", "Ninja", *tools, *OPTIONS)
        call(str(BIN / "cmake"), "--build", str(FOLDER), "--target", *targets)
    return FOLDER / "tests" / "cpp"


def call(*command: str) -> None:
    """Run a command; its output is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout
