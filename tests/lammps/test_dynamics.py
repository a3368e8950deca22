"""Dynamics with a closed-form model: neighbor rebuilds, migrations, and the commands around a run."""

from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import Run, run, setup, write_data

LATTICE = 2.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """108 atoms of two elements on a shaken lattice."""
    rng = np.random.default_rng(0)
    points = LATTICE * np.stack(np.meshgrid(range(6), range(6), range(3), indexing="ij"), -1).reshape(-1, 3)
    symbols = rng.permutation(["O", "H"] * 54)
    atoms = ase.Atoms(symbols, positions=points + 0.3 * (rng.random(points.shape) - 0.5) + 0.2, pbc=True)
    atoms.set_cell(LATTICE * np.array([6, 6, 3]))
    write_data(atoms, ["H", "O"], tmp_path / "data.test")
    return tmp_path


def simulate(folder: Path, model: Path, n_ranks: int, commands: str, before: str = "", timeout: float = 120) -> Run:
    start = setup(ase.Atoms(pbc=True), commands=before)
    pair = f"pair_style tdn device cpu\npair_coeff * * {model} H O\nvelocity all create 2000 1\n"
    done = run(start + pair + commands, n_ranks, folder, timeout)
    assert done.returncode == 0, done.output
    return done


NVE = """
neighbor 0.5 bin
neigh_modify every 1 delay 0 check yes
timestep 0.0005
fix 1 all nve
thermo 100
thermo_style custom step temp pe etotal press
run 1000
"""


def test_thermo_is_equal_on_any_number_of_ranks(folder: Path, archives):
    runs = [simulate(folder, archives["message", "float64"], n, NVE, timeout=300) for n in (1, 2, 4)]
    lines = [done.thermo for done in runs]
    assert len(lines[0]) == 11
    assert lines[1] == lines[0] and lines[2] == lines[0]
    builds = [line for line in runs[0].output.splitlines() if line.startswith("Neighbor list builds")]
    assert int(builds[0].split("=")[1]) > 5


def test_energy_is_conserved(folder: Path, archives):
    done = simulate(folder, archives["message", "float64"], 2, NVE, timeout=300)
    rows = np.array([[float(x) for x in line.split()] for line in done.thermo])
    drift = np.polyfit(rows[:, 0] * 0.0005, rows[:, 3], 1)[0] / 108
    assert abs(drift) < 1e-6  # eV per atom and ps
    assert np.ptp(rows[:, 2]) > 1e-2


COMMANDS = {
    "balance_rcb": ("comm_style tiled\n", "fix 1 all nve\nfix 2 all balance 10 1.0 rcb\nrun 50"),
    "npt": ("", "fix 1 all npt temp 300 300 0.1 iso 0 0 1\nrun 30"),
    "triclinic_npt": ("", "change_box all triclinic\nfix 1 all npt temp 300 300 0.1 tri 0 0 1\nrun 30"),
    "minimize": ("", "minimize 0 1e-2 50 100"),
    "deform": ("", "fix 1 all nve\nfix 2 all deform 1 x erate 0.5 remap v\nrun 30"),
    "evaporate": ("", "region r block INF INF INF INF INF INF\nfix 1 all nve\nfix 2 all evaporate 5 3 r 7\nrun 20"),
    "run_again": ("", "fix 1 all nve\nrun 10\nrun 10 pre no post no\nrun 10"),
    "style_again": ("", "run 0\npair_style tdn device cpu precision float32\nrun 0\npair_style tdn\nrun 5"),
    "heat_flux": (
        "",
        "compute k all ke/atom\ncompute z all pe/atom\ncompute s all centroid/stress/atom NULL virial\n"
        "compute j all heat/flux k z s\nthermo_style custom step pe c_j[1]\nfix 1 all nve\nrun 5",
    ),
}


@pytest.mark.parametrize("n_ranks", [1, 4])
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(folder: Path, archives, command: str, n_ranks: int):
    before, commands = COMMANDS[command]
    done = simulate(folder, archives["message", "float64"], n_ranks, commands + '\nprint "e = $(pe:%.17g)"\n', before)
    assert np.isfinite(done.values("e")).all()


def test_model_is_announced_once(folder: Path, archives):
    done = simulate(folder, archives["message", "float32"], 2, "run 0\nrun 0")
    line = "model message (H O), cutoff 3 angstrom, 2 layers, gradient forces, float32, device cpu"
    assert done.output.count(line) == 1


def test_two_instances_in_partitions(folder: Path, archives):
    """Each partition has its own communicator."""
    pair = f"pair_style tdn device cpu\npair_coeff * * {archives['message', 'float64']} H O\n"
    start = "variable p world a b\n" + setup(ase.Atoms(pbc=True))
    done = run(
        start + pair + 'run 0\nprint "$(pe:%.17g)" file energy.$p\n', 3, folder, options=("-partition", "1", "2")
    )
    assert done.returncode == 0, done.output
    energies = [float((folder / f"energy.{p}").read_text()) for p in "ab"]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)
