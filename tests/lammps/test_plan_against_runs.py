"""The plan against what runs need: the block of ``tdn plan`` and the block that the pair style prints at its start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lammps_runner import Run, run

from tdn.plan import ModelSize, Rates, System, model_size, parse_plan, tabulate
from tdn.plan.measure import measure

WATER = Path(__file__).parents[2] / "examples" / "water"
SIDE, ATOMS = 12.444, 192
INPUT = """
units metal
atom_style atomic
{processors}
read_data {folder}/data.water
replicate {copies} {copies} {copies}
pair_style tdn device cpu
pair_coeff * * {folder}/water.tdn.pt O H
neighbor {skin} bin
run 0
"""
#: Ranks, copies of the box along each axis, skin in angstrom, grid of ranks (LAMMPS's own where None).
RUNS = {
    "two ranks": (2, 2, 2.0, None),
    "four ranks": (4, 2, 2.0, None),
    "four ranks, roomy": (4, 3, 2.0, None),
    "thin subdomains, one angstrom of skin": (4, 2, 1.0, (4, 1, 1)),
    "eight ranks, small box": (8, 1, 2.0, None),
}
#: Deviations that the even density may have from one arrangement of atoms.
TOLERANCE = 0.2


def planned(name: str) -> tuple[System, ModelSize]:
    n_ranks, copies, skin, grid = RUNS[name]
    box = (copies * SIDE,) * 3
    return System.make(ATOMS * copies**3, n_ranks, box=box, grid=grid, skin=skin), model_size(WATER / "water.tdn.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """Every case once, one evaluation each."""
    folder, done = tmp_path_factory.mktemp("plan"), {}
    for name, (n_ranks, copies, skin, grid) in RUNS.items():
        processors = "processors " + " ".join(map(str, grid)) if grid else ""
        text = INPUT.format(folder=WATER, copies=copies, skin=skin, processors=processors)
        done[name] = run(text, n_ranks, folder, timeout=300)
        assert done[name].returncode == 0, done[name].output
    return done


@pytest.fixture(scope="module")
def rates() -> Rates:
    """Costs of the model on this machine."""
    return measure(WATER / "water.tdn.pt", "cpu", 1, ATOMS / SIDE**3, None)


def mean_per_rank(done: Run, name: str) -> float:
    """Mean in LAMMPS's own summary of a run."""
    return float(re.findall(rf"^{name}: +(\S+) ave", done.output, re.MULTILINE)[-1])


@pytest.mark.parametrize("name", RUNS)
def test_grid_and_ghosts_are_those_of_lammps(runs, name):
    system, model = planned(name)
    expected = " by ".join(str(n) for n in system.grid)
    assert re.findall(r"^ *(\d+ by \d+ by \d+) MPI", runs[name].output, re.MULTILINE)[-1] == expected
    values = tabulate(model, system)
    assert values["atoms"][0] == pytest.approx(mean_per_rank(runs[name], "Nlocal"))
    assert values["ghosts"][0] == pytest.approx(mean_per_rank(runs[name], "Nghost"), rel=TOLERANCE)


@pytest.mark.parametrize("name", RUNS)
def test_counts_and_bytes_are_those_of_the_run(runs, name):
    system, model = planned(name)
    plan, seen = tabulate(model, system), parse_plan(runs[name].output)
    assert seen["ghosts"][0] == pytest.approx(mean_per_rank(runs[name], "Nghost"), rel=1e-3)
    for quantity in ("atoms", "edges", "ghosts", "remote atoms", "MB per layer and direction", "MB per step"):
        assert plan[quantity][0] == pytest.approx(seen[quantity][0], rel=TOLERANCE), quantity
    assert round(plan["messages per layer and direction"][0]) == seen["messages per layer and direction"][0]


@pytest.mark.parametrize("name", RUNS)
def test_bytes_of_the_run_follow_from_its_remote_atoms(runs, name):
    model, seen = planned(name)[1], parse_plan(runs[name].output)
    per_atom = model.bytes_per_number * model.layer_widths[0] / 1e6
    assert seen["MB per layer and direction"][0] == pytest.approx(per_atom * seen["remote atoms"][0], rel=2e-3)
    assert seen["MB per step"][0] == pytest.approx(6 * per_atom * seen["remote atoms"][0], rel=2e-3)


@pytest.mark.parametrize("name", RUNS)
def test_memory_is_that_of_the_run(runs, rates, name):
    system, model = planned(name)
    plan, seen = tabulate(model, system, rates), parse_plan(runs[name].output)
    file = (WATER / "water.tdn.pt").stat().st_size / 1e6  # a run holds the archive itself too
    assert plan["MB of memory"][0] + file == pytest.approx(seen["MB of memory"][0], rel=TOLERANCE)
    assert plan["ms per step"][0] > 0


def test_lammps_chooses_the_first_of_equal_grids(tmp_path):
    """A long box in which two grids have the same surface, without atoms."""
    text = "units metal\nregion r block 0 20 0 5 0 5\ncreate_box 1 r\nmass 1 1\n"
    done = run(text, 16, tmp_path, timeout=120)
    assert done.returncode == 0, done.output
    expected = " by ".join(str(n) for n in System.make(1, 16, box=(20.0, 5.0, 5.0)).grid)
    assert re.findall(r"^ *(\d+ by \d+ by \d+) MPI", done.output, re.MULTILINE) == [expected]
