"""The two libraries that need torch, built for the installed torch: ``libtdn_ops`` and ``libtdn_script``.

A package that was built with a torch holds them in ``torch/VERSION``. For another torch, or after an installation
without torch, they are compiled at first use from the sources in the package, and kept in the user's cache folder.
``python -m tdn.torch_libraries`` compiles them ahead of time and prints their folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata, util
from pathlib import Path

import tdn
from tdn.errors import TDNError, needs

OPERATORS, SCRIPT_ENGINE = "libtdn_ops.so", "libtdn_script.so"
#: Read by libtdn_engine when it opens the script engine.
SCRIPT_VARIABLE = "TDN_SCRIPT_LIBRARY"
ENGINE = "libtdn_engine.so"
#: Folders of the package: libraries by version of torch, and the sources of the C++ part.
BUILT, SOURCES = "torch", "source"
#: Where CMake installs them.
INSTALLED = "lib/tdn"


def torch_version() -> str | None:
    """Version of the installed torch without its build tag (``2.13.0``), None without torch; does not import it."""
    if util.find_spec("torch") is None:
        return None
    try:
        return metadata.version("torch").split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def package_file(name: str) -> Path:
    """A file or folder beside the package's modules.

    Raises:
        TDNError: the package was not built; only its sources are on the path.
    """
    for folder in tdn.__path__:
        if (path := Path(folder) / name).exists():
            return path
    raise TDNError(f"{name} is not beside the package in {tdn.__path__[0]!r}; build it with 'pip install .'")


def find() -> Path | None:
    """Folder of the libraries for the installed torch, None if missing. Cheap: ``lmp`` calls it at every start."""
    version = torch_version()
    if version is None:
        return None
    built = (Path(folder) / BUILT / version for folder in tdn.__path__)
    folder = next((folder for folder in built if (folder / SCRIPT_ENGINE).is_file()), None) or cache_folder(version)
    return folder if folder and (folder / SCRIPT_ENGINE).is_file() else None


@cache
def cache_folder(version: str) -> Path | None:
    """Folder for libraries that fit a torch and the engine of this package; None if the package was not built."""
    engine = next((path for folder in tdn.__path__ if (path := Path(folder) / ENGINE).is_file()), None)
    if engine is None:
        return None
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "tdn" / f"torch-{version}-{hashlib.sha256(engine.read_bytes()).hexdigest()[:16]}"


def offer_script_engine() -> None:
    """Tell the engine of this process and of its children where the script engine is, if it exists."""
    if SCRIPT_VARIABLE not in os.environ and (folder := find()) is not None:
        os.environ[SCRIPT_VARIABLE] = str(folder / SCRIPT_ENGINE)


def provide() -> Path:
    """Folder of the libraries for the installed torch, which are compiled now if missing.

    Raises:
        TDNError: there is no torch, no compiler, or the compiler failed.
    """
    if (folder := find()) is not None:
        return folder
    version = torch_version()
    if version is None:
        raise TDNError(needs("torch"))
    package_file(ENGINE)
    target = cache_folder(version)
    assert target is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with lock(target.with_suffix(".lock")):
        if find() is None:  # another process may have compiled them meanwhile
            print(f"tdn: compiling {OPERATORS} and {SCRIPT_ENGINE} for torch {version}, once", file=sys.stderr)
            compile_for(version, target)
    return target


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Exclude other processes of this user until the end of the block."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_for(version: str, target: Path) -> None:
    """Compile with CMake in a temporary folder and move the result into place."""
    tool = cmake()
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        build, ready = Path(name) / "build", Path(name) / "ready"
        configure = [
            *(tool, "-S", str(package_file(SOURCES)), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"),
            *("-DTDN_BUILD_PLUGIN=OFF", "-DTDN_BUILD_PYTHON=OFF", "-DTDN_BUILD_TORCH=ON"),
            *(f"-DTDN_ENGINE_LIBRARY={package_file(ENGINE).resolve()}", f"-DPython_EXECUTABLE={sys.executable}"),
        ]
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(min(os.cpu_count() or 1, 4))
        make = [tool, "--build", str(build), "--parallel", jobs]
        for command in (configure, make, [tool, "--install", str(build), "--prefix", str(ready)]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                log = target.with_suffix(".log")
                log.write_text(done.stdout)
                raise TDNError(
                    f"{SCRIPT_ENGINE} could not be compiled for torch {version}; see '{log}', and check that there is "
                    "a C++20 compiler"
                )
        os.replace(ready / INSTALLED, target)


def cmake() -> str:
    """The cmake command: beside this interpreter (``pip install cmake``) or on the path."""
    beside = Path(sys.executable).parent / "cmake"
    found = str(beside) if beside.is_file() else shutil.which("cmake")
    if found is None:
        raise TDNError("cmake is not installed but must compile what needs torch; install it with 'pip install cmake'")
    return found


if __name__ == "__main__":
    try:
        print(provide())
    except TDNError as problem:
        sys.exit(f"tdn: {problem}")
