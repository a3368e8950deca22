"""Direct forces: where they are refused, what is said about them, and as the inner level of r-RESPA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import Run, run, write_data
from solid import ELEMENTS, setup_of, solid

THERMO = "thermo 5\nthermo_style custom step pe etotal press\nthermo_modify format float %.10g\n"
RESPA = """
pair_style hybrid/overlay tdn device cpu forces direct tdn device cpu forces correction
pair_coeff * * tdn 1 {model} H O
pair_coeff * * tdn 2 {model} H O
run_style respa 2 {loops} hybrid 1 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """64 atoms of two elements on a shaken lattice."""
    write_data(solid(spacing=2.0, mixed=True), ELEMENTS, tmp_path / "data.test")
    return tmp_path


def dynamics(folder: Path, pair: str, step: float, commands: str = "run 20\n", n_ranks: int = 2) -> Run:
    text = setup_of("data.test") + pair + "velocity all create 600 1\n"
    return run(text + f"timestep {step}\nfix 1 all nve\n{THERMO}{commands}", n_ranks, folder)


def plain(model: Path, forces: str) -> str:
    return f"pair_style tdn device cpu {forces}\npair_coeff * * {model} H O\n"


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_respa_with_equal_time_steps_is_the_gradient_trajectory(folder: Path, archives, n_ranks: int):
    """Inner direct + outer (gradient - direct) with one inner step: energies and pressure of plain Verlet."""
    model = archives["message", "float64"]
    expected = dynamics(folder, plain(model, "forces gradient"), 0.0005, n_ranks=n_ranks)
    found = dynamics(folder, RESPA.format(model=model, loops=1), 0.0005, n_ranks=n_ranks)
    assert found.thermo == expected.thermo and len(found.thermo) == 5, found.output


def test_respa_conserves_energy_while_direct_forces_do_not(folder: Path, archives):
    """Two inner steps for one of the outer level: the total energy is that of the gradient forces again."""
    model = archives["message", "float64"]

    def spread(done: Run) -> float:
        return float(np.ptp([float(line.split()[2]) for line in done.thermo]))

    respa = dynamics(folder, RESPA.format(model=model, loops=2), 0.001, "run 50\n")
    direct = dynamics(folder, plain(model, "forces direct"), 0.0005, "run 100\n")
    assert spread(respa) < 0.01 * spread(direct)
    assert "conserves no energy" not in respa.output and "direct forces have no virial" not in respa.output


def test_correction_without_respa_is_refused(folder: Path, archives):
    done = dynamics(folder, plain(archives["message", "float64"], "forces correction"), 0.0005)
    assert done.returncode != 0
    sentence = (
        "forces correction is the outer level of run_style respa but the run style is verlet: write run_style respa 2 "
        "n hybrid 1 2, or forces gradient"
    )
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


def test_minimize_is_refused(folder: Path, archives):
    pair = plain(archives["message", "float64"], "forces direct")
    done = run(setup_of("data.test") + pair + "minimize 0 1e-3 10 10\n", 2, folder)
    assert done.returncode != 0
    sentence = "direct forces are not the gradient of an energy, so there is no minimum to find: write forces gradient"
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


@pytest.mark.parametrize(
    "fix, sentence",
    [
        ("nve", "fix nve conserves no energy with direct forces: write forces gradient or use a thermostat"),
        (
            "npt temp 300 300 0.1 iso 0 0 1",
            "fix npt follows a pressure that lacks the virial of direct forces: write forces gradient",
        ),
    ],
)
def test_fixes_that_direct_forces_do_not_fit_are_named(folder: Path, archives, fix: str, sentence: str):
    pair = plain(archives["message", "float64"], "forces direct")
    done = run(setup_of("data.test") + pair + f"fix 1 all {fix}\nrun 0\n", 2, folder)
    assert done.returncode == 0, done.output
    assert done.output.count(f"WARNING: Pair style tdn: {sentence}") == 1
    masses = "mass 1 1.008\nmass 2 15.999\n"  # those of H and O, not to be warned about
    text = setup_of("data.test") + masses + plain(archives["message", "float64"], "") + f"fix 1 all {fix}\nrun 0\n"
    gradient = run(text, 2, folder)
    assert "WARNING: Pair style tdn" not in gradient.output


@pytest.mark.parametrize("n_ranks", [1, 4])
def test_net_force_is_removed_when_asked(folder: Path, archives, n_ranks: int):
    """The mean force of all atoms is subtracted from each."""
    commands = 'compute f all reduce sum fx fy fz\nthermo_style custom step pe c_f[*]\nrun 0\nprint "f = {}"\n'.format(
        " ".join(f"$(c_f[{k}]:%.17g)" for k in (1, 2, 3))
    )
    commands += "dump d all custom 1 dump.{} id fx fy fz\ndump_modify d sort id format float %.17g\nrun 0\n"
    forces = {}
    for keep in ("keep", "remove"):
        pair = plain(archives["message", "float64"], f"forces direct net_force {keep}")
        done = run(setup_of("data.test") + pair + commands.format(keep), n_ranks, folder)
        assert done.returncode == 0, done.output
        forces[keep] = np.loadtxt(folder / f"dump.{keep}", skiprows=9)[:, 1:]
        net = done.values("f")
        assert (np.abs(net).max() > 1e-3) if keep == "keep" else (np.abs(net).max() < 1e-12)
    np.testing.assert_allclose(forces["remove"], forces["keep"] - forces["keep"].mean(axis=0), rtol=0, atol=1e-13)
