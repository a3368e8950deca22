"""Checklist "several LAMMPS instances in one process, `clear`, `plugin unload` and reload": none disturbs another."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import run_python, write_data
from solid import ELEMENTS, STATE, assert_same_state, completed, pair, show, solid, start

from tdn.lammps import plugin_dir

WORKER = Path(__file__).parent / "instances_worker.py"


WAYS = [(way, n) for way in ("interleaved", "reused", "reloaded") for n in (1, 2)] + [("split", 2)]


@pytest.mark.parametrize("way, n_ranks", WAYS)
def test_instances(archives, way: str, n_ranks: int, tmp_path: Path):
    """Energies of two systems that share a process equal those of each system alone."""
    write_data(solid((4, 4, 4), mixed=True), ELEMENTS, tmp_path / "data.a")
    write_data(solid((3, 4, 4), mixed=True, seed=1), ELEMENTS, tmp_path / "data.b")
    models = [str(archives[name, "float64"]) for name in ("message", "pair")]
    done = run_python(WORKER, n_ranks, tmp_path, way, *models)
    assert done.returncode == 0, done.output
    for k in (0, 1):
        turns, alone = done.values(f"turns{k}"), done.values(f"alone{k}")
        assert np.ptp(alone[::2]) > 1e-3 or way == "reused"
        np.testing.assert_allclose(turns, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_plugin_reloaded_in_an_input(archives, n_ranks: int, tmp_path: Path):
    """`plugin unload pair tdn` while the style is in use, `plugin load`: the same numbers to the last bit."""
    pairs = pair(archives["message", "float64"])
    text = start(solid(mixed=True), tmp_path) + pairs + STATE + f"run 0\n{show('first')}plugin list\n"
    text += f"plugin unload pair tdn\nplugin load {plugin_dir()}/tdnplugin.so\n{pairs}run 0\n{show('second')}"
    done = completed(text, n_ranks, tmp_path)
    assert done.values("first")[1] > 0.1
    assert_same_state(done, "first", "second", 0, 0)
