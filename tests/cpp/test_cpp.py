"""Every case of the C++ tests by its name; each program runs once for all of its cases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cpp_build import build
from lammps_runner import Run, launch
from make_archives import make_archive

HERE = Path(__file__).parent
RANKS = (1, 2, 3, 4)


def cases(program: str) -> list[str]:
    """Names of the cases in the sources of a program."""
    sources = re.search(rf"tdn_add_test_program\({program}\s+([^)]*)\)", (HERE / "CMakeLists.txt").read_text())
    assert sources is not None
    text = "\n".join((HERE / name).read_text() for name in sources[1].split())
    return re.findall(r"^CASE\((\w+)\)", text, re.MULTILINE)


@pytest.fixture(scope="session")
def programs() -> Path:
    """Folder of the programs."""
    return build("tdn_tests", "tdn_torch_tests", "tdn_mpi_tests", "tdn_script")


@pytest.fixture(scope="session")
def serial(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All cases without MPI."""
    folder = tmp_path_factory.mktemp("cpp")
    for name in ("pair", "message"):
        make_archive(name, "float64", folder)
    return launch([str(programs / "tdn_tests"), str(folder)], 1, folder, timeout=300)


@pytest.fixture(scope="session")
def torch_cases(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All cases of what belongs to torch."""
    return launch([str(programs / "tdn_torch_tests"), "."], 1, tmp_path_factory.mktemp("cpp-torch"), timeout=300)


@pytest.fixture(scope="session")
def parallel(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """All cases with MPI, by the number of ranks."""
    folder = tmp_path_factory.mktemp("cpp-mpi")
    return {n: launch([str(programs / "tdn_mpi_tests")], n, folder, timeout=300) for n in RANKS}


@pytest.mark.parametrize("case", cases("tdn_tests"))
def test_serial(serial: Run, case: str):
    assert f"ok {case}" in serial.output.splitlines(), serial.output


@pytest.mark.parametrize("case", cases("tdn_torch_tests"))
def test_torch(torch_cases: Run, case: str):
    assert f"ok {case}" in torch_cases.output.splitlines(), torch_cases.output


@pytest.mark.parametrize("n_ranks", RANKS)
@pytest.mark.parametrize("case", cases("tdn_mpi_tests"))
def test_parallel(parallel: dict[int, Run], case: str, n_ranks: int):
    assert f"ok {case}" in parallel[n_ranks].output.splitlines(), parallel[n_ranks].output


def test_programs_end_with_success(serial: Run, torch_cases: Run, parallel: dict[int, Run]):
    """A crash after the last case counts too."""
    assert [run.returncode for run in (serial, torch_cases, *parallel.values())] == [0] * (2 + len(RANKS))
