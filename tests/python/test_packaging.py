"""What `pip install .` promises: LAMMPS knows the pair style, and nothing slow happens at its start."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tdn
from tdn.lammps import PLUGIN_FILE, plugin_dir, plugin_search_path
from tdn.lammps.plugin import built_for, installed_lammps

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.style"
    path.write_text("units metal\nplugin list\npair_style tdn\n")
    return path


def test_version_is_written_once():
    assert importlib.metadata.version("tdn") == tdn.__version__


def test_import_does_not_import_torch():
    code = "import sys, tdn, tdn.lammps; tdn.lammps.plugin_search_path(); sys.exit('torch' in sys.modules)"
    assert run(sys.executable, "-c", code).returncode == 0


def test_model_and_deploy_need_torch_and_numpy_only():
    """Machines that only evaluate or benchmark have neither ASE nor a training framework."""
    code = (
        "import sys\nfor name in ('ase', 'vesin', 'lammps', 'matplotlib', 'rich', 'yaml', 'e3nn'):\n"
        "    sys.modules[name] = None\nimport tdn.model, tdn.deployment.deployed, tdn.deployment.write, tdn._core\n"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr


def test_ranges_of_build_and_run_agree():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build, run = table["build-system"]["requires"], table["project"]["dependencies"]
    for name in ("lammps", "mpich"):
        assert [line for line in build if line.startswith(name)] == [line for line in run if line.startswith(name)]
    assert not any(line.startswith("torch") for line in build + run)


def test_the_installed_lammps_has_a_plugin():
    assert installed_lammps() in built_for()


def test_of_several_plugins_the_one_of_the_installed_lammps_is_taken(tmp_path, monkeypatch):
    folders = {key: tmp_path / "plugins" / key for key in ("2025.7.22.2", "2025.7.22.4")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / PLUGIN_FILE).touch()
    monkeypatch.setattr(tdn, "__path__", [str(tmp_path)])
    for key, folder in folders.items():
        monkeypatch.setattr("tdn.lammps.plugin.installed_lammps", lambda key=key: key)
        assert plugin_dir() == str(folder)


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_another_lammps_is_told_once_and_nothing_is_loaded(tmp_path, monkeypatch, capsys, rank, lines):
    folder = tmp_path / "plugins/2025.7.22.2"
    folder.mkdir(parents=True)
    (folder / PLUGIN_FILE).touch()
    monkeypatch.setattr(tdn, "__path__", [str(tmp_path)])
    monkeypatch.setattr("tdn.lammps.plugin.installed_lammps", lambda: "2031.1.1.0")
    monkeypatch.setenv("PMI_RANK", rank)
    assert plugin_search_path() == str(tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert all("for LAMMPS 2025.7.22.2 but LAMMPS 2031.1.1.0 is installed" in line for line in said)


def test_entry_point_gives_the_folder_of_the_plugin():
    (entry,) = importlib.metadata.entry_points(group="lammps.plugins", name="tdn")
    assert entry.load()() == plugin_search_path() == plugin_dir()
    assert (Path(plugin_dir()) / PLUGIN_FILE).is_file()


def test_source_tree_without_plugin_says_what_to_do():
    """The entry point stays silent there: an error in it would stop every `lmp`."""
    code = "import tdn.lammps as t; print(t.plugin_search_path()); t.plugin_dir()"
    result = run(sys.executable, "-c", code, PYTHONPATH=str(ROOT / "python"))
    assert result.stdout.strip() == str(ROOT / "python" / "tdn")
    assert "TDNError: tdnplugin.so is not in" in result.stderr
    assert "run 'pip install .'" in result.stderr


def test_lmp_knows_the_style(input_file):
    result = run(str(BIN / "lmp"), "-in", str(input_file), "-log", "none")
    assert result.returncode == 0, result.stdout
    assert "pair style plugin tdn" in result.stdout


def test_lmp_on_two_ranks_knows_the_style(input_file):
    result = run(str(BIN / "mpirun"), "-n", "2", str(BIN / "lmp"), "-in", str(input_file), "-log", "none")
    assert result.returncode == 0, result.stdout
    assert "pair style plugin tdn" in result.stdout


def test_python_module_of_lammps_knows_the_style():
    code = (
        "from mpi4py import MPI\nfrom lammps import lammps\n"
        "lmp = lammps(cmdargs=['-log', 'none', '-screen', 'none'])\n"
        "assert ['pair', 'tdn'] in lmp.available_plugins()\nlmp.command('pair_style tdn')\nlmp.close()\n"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr
