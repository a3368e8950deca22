"""Which folder of pair_tdn/ may include which: the flow of data, and the libraries that CMake makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "pair_tdn"
#: Allowed arrows; "" is what lies in pair_tdn/ itself. A folder may always include itself and "".
ARROWS: dict[str, set[str]] = {
    "": set(),
    "archive": set(),
    "graph": set(),
    "exchange": set(),
    "engine": {"archive", "graph", "exchange", "engine/cpu"},
    "engine/cpu": {"archive", "engine"},
    "ops": {"archive", "engine/cpu"},
    "script": {"archive", "exchange", "engine", "ops"},
    "lammps": {"archive", "graph", "exchange", "engine"},
    "python": {"archive", "exchange", "engine", "engine/cpu"},
}
#: Headers of other projects, by the folders that may see them, also through other headers.
FOREIGN = {
    "torch": {"ops", "script"},
    "LAMMPS": {"lammps"},
    "MPI": {"exchange", "lammps"},
    "pybind11": {"python"},
    "OpenMP": {"engine/cpu"},
}
SYSTEM = {"dlfcn.h", "immintrin.h", "malloc.h", "unistd.h"}
INCLUDE = re.compile(r"^\s*#\s*include\s+([<\"])([^>\"]+)[>\"]", re.MULTILINE)


def folder_of(path: Path) -> str:
    folder = path.parent.relative_to(ROOT).as_posix()
    return "" if folder == "." else folder


def sources() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*") if path.suffix in (".h", ".cpp"))


def owner(name: str, sign: str) -> str | None:
    """Project of a header that is not ours; None for the standard library and the system."""
    top = name.split("/")[0]
    if top in ("ATen", "c10", "torch", "caffe2"):
        return "torch"
    if top == "pybind11" or name == "Python.h":
        return "pybind11"
    if name in ("mpi.h", "omp.h"):
        return {"mpi.h": "MPI", "omp.h": "OpenMP"}[name]
    if sign == '"':
        return "LAMMPS"
    assert name in SYSTEM or ("/" not in name and "." not in name), f"say in this test whose header {name} is"
    return None


@cache
def includes(path: Path) -> tuple[frozenset[Path], frozenset[str]]:
    """Our headers that a file names, and other projects."""
    ours, others = set(), set()
    for sign, name in INCLUDE.findall(path.read_text()):
        found = [place / name for place in (path.parent, ROOT) if (place / name).is_file()]
        if sign == '"' and found:
            ours.add(found[0].resolve())
        elif project := owner(name, sign):
            others.add(project)
    return frozenset(ours), frozenset(others)


def reachable(path: Path) -> Iterator[Path]:
    """The file and all our headers that it sees."""
    seen, waiting = set(), [path]
    while waiting:
        if (file := waiting.pop()) not in seen:
            seen.add(file)
            yield file
            waiting.extend(includes(file)[0])


def test_every_folder_has_its_arrows():
    assert {folder_of(path) for path in sources()} == set(ARROWS)


@pytest.mark.parametrize("folder", ARROWS)
def test_folders_include_along_the_arrows(folder: str):
    allowed = {folder, ""} | ARROWS[folder]
    wrong = [
        f"{path.relative_to(ROOT)} includes {header.relative_to(ROOT)}"
        for path in sources()
        if folder_of(path) == folder
        for header in includes(path)[0]
        if folder_of(header) not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("project", FOREIGN)
def test_headers_of_others_stay_in_their_folders(project: str):
    wrong = [
        f"{path.relative_to(ROOT)} sees {project} through {header.relative_to(ROOT)}"
        for path in sources()
        if folder_of(path) not in FOREIGN[project]
        for header in reachable(path)
        if project in includes(header)[1]
    ]
    assert wrong == []


def test_the_reader_of_includes_sees_what_is_there():
    """Otherwise nothing above could fail."""
    assert "torch" in includes(ROOT / "script/script_module.h")[1]
    assert "LAMMPS" in includes(ROOT / "lammps/pair_tdn.cpp")[1]
    assert "MPI" in includes(ROOT / "exchange/exchange_plan.h")[1]
    assert ROOT / "views.h" in set(reachable(ROOT / "engine/evaluator.h"))
    assert ROOT / "exchange/exchange_plan.h" in set(reachable(ROOT / "lammps/pair_tdn.cpp"))
