"""Checklist "rerun, run 0, `run N pre no`, restart", write_data and lists that live long: the same numbers again."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import run
from solid import DYNAMICS, STATE, assert_same_state, completed, fresh, pair, show, solid, start

DIGITS = "thermo_modify norm no format float %.12g\n"
COLUMNS = "thermo_style custom step pe etotal press fnorm c_w[*]\n"


def thermo_blocks(output: str) -> list[list[str]]:
    """Lines of thermo output of every run."""
    lines = iter(output.splitlines())
    blocks: list[list[str]] = []
    for line in lines:
        if line.split()[:1] == ["Step"]:
            blocks.append([])
            while not (line := next(lines)).startswith("Loop time"):
                blocks[-1].append(line)
    return blocks


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_rerun(archives, n_ranks: int, tmp_path: Path):
    """Rerun: each frame of a trajectory with migrations has the energy, forces and pressure it had on the way."""
    model = pair(archives["message", "float64"])
    text = start(solid(mixed=True), tmp_path) + model + STATE + DYNAMICS + "thermo 100\n"
    # without velocities the pressure of a frame is that of the virial alone
    text += "thermo_style custom step pe fnorm fmax c_w[*]\nthermo_modify norm no format float %.10g\n"
    text += "dump 1 all custom 100 dump.way id type x y z\ndump_modify 1 sort id format float %.17g\n"
    text += "run 600\nundump 1\nunfix 1\nrerun dump.way dump x y z\n"
    blocks = thermo_blocks(completed(text, n_ranks, tmp_path).output)
    assert len(blocks[0]) == 7
    assert np.ptp([float(line.split()[1]) for line in blocks[0]]) > 1
    assert blocks[1] == blocks[0]


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_restart_goes_on_exactly(archives, n_ranks: int, tmp_path: Path):
    """Restart: repeated pair lines go on with the same digits, on another number of ranks too."""
    model = pair(archives["message", "float64"])
    text = start(solid(mixed=True), tmp_path) + model + STATE + COLUMNS + DIGITS + DYNAMICS + "thermo 20\n"
    # LAMMPS rebuilds its lists at the start of a run; with a rebuild in every step no sum depends on it
    text += "neigh_modify every 1 delay 0 check no\nrun 100\nwrite_restart restart.100\nrun 100\n"
    way = thermo_blocks(completed(text, 1, tmp_path).output)[1]
    again = "read_restart restart.100\n" + model + STATE + COLUMNS + DIGITS
    again += "fix 1 all nve\ntimestep 0.0005\nneighbor 0.5 bin\nneigh_modify every 1 delay 0 check no\nthermo 20\n"
    again += "run 100\n"
    assert thermo_blocks(completed(again, n_ranks, tmp_path).output)[0] == way


def test_restart_without_the_pair_lines(archives, tmp_path: Path):
    """Restart: the pair style writes nothing, and a forgotten pair_style or pair_coeff is an error that says so."""
    model = pair(archives["message", "float64"])
    text = start(solid(), tmp_path) + model
    completed(text + "run 0\nwrite_restart restart.0\n", 1, tmp_path)
    errors = {
        "": "ERROR: Must re-specify non-restarted pair style (tdn) after read_restart",
        "pair_style tdn device cpu\n": "ERROR: All pair coeffs are not set.",
    }
    for lines, error in errors.items():
        done = run(f"read_restart restart.0\n{lines}fix 1 all nve\nrun 1\n", 2, tmp_path)
        assert done.returncode != 0
        assert done.error.startswith(error), done.output


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_runs_that_follow_each_other(archives, n_ranks: int, tmp_path: Path):
    """Run 0 twice, `run N pre no`, write_data and read_data: no run sees leftovers of the one before."""
    model = pair(archives["message", "float64"])
    text = start(solid(mixed=True), tmp_path) + model + STATE + DYNAMICS
    text += f"run 0\n{show('first')}run 0\n{show('second')}run 100\n{show('a')}run 0\n{show('b')}"
    text += f"run 50 pre no post no\nrun 50 pre no\n{show('now')}run 0 pre no\n{show('c')}"
    done = completed(text + fresh(model), n_ranks, tmp_path)
    assert_same_state(done, "first", "second", 0, 1e-14)
    assert abs(done.values("a")[0] - done.values("first")[0]) > 0.1
    assert_same_state(done, "a", "b")
    assert_same_state(done, "now", "c")
    assert_same_state(done, "now", "fresh")


LISTS = {
    "thin skin": "neighbor 0.3 bin\nneigh_modify every 1 delay 0 check yes",
    "thick skin": "neighbor 2.0 bin\nneigh_modify every 1 delay 0 check yes",
    "every 5 delay 10": "neighbor 1.0 bin\nneigh_modify every 5 delay 10 check yes",
    "rebuild at fixed steps": "neighbor 1.0 bin\nneigh_modify every 10 delay 0 check no",
    "nsq": "neighbor 0.5 nsq\nneigh_modify every 1 delay 0 check yes",
    "multi": "neighbor 0.5 multi\nneigh_modify every 1 delay 0 check yes\ncomm_modify mode multi",
    "wide ghost shell": "neighbor 0.5 bin\nneigh_modify every 1 delay 0 check yes\ncomm_modify cutoff 6.0",
    "unsorted atoms": "neighbor 0.5 bin\nneigh_modify every 1 delay 0 check yes\natom_modify sort 0 0",
    "sorted atoms": "neighbor 0.5 bin\nneigh_modify every 1 delay 0 check yes\natom_modify sort 1 2.0",
}


def test_how_lists_are_kept_does_not_matter(archives, tmp_path: Path):
    """neighbor skins, neigh_modify, comm_modify cutoff and mode multi, atom_modify sort: the same digits."""
    model = pair(archives["message", "float64"])
    text = "".join(
        f"clear\n{start(solid(mixed=True), tmp_path)}{model}{STATE}thermo_style custom step pe etotal press\n"
        f"thermo 50\nthermo_modify norm no format float %.9g\n{DYNAMICS}{lines}\nrun 300\n"
        for lines in LISTS.values()
    )
    blocks = [block for n in (1, 2) for block in thermo_blocks(completed(text, n, tmp_path).output)]
    assert len(blocks[0]) == 7
    for name, block in zip([*LISTS, *LISTS], blocks, strict=True):
        assert block == blocks[0], name
