"""Settings, models and atom types that change between runs, and errors that a Python program catches."""

import os
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest
from lammps_runner import Run, run, setup, write_data
from make_archives import make_archive
from test_dynamics import simulate

ATOMS = ase.Atoms("OH2", positions=[[4, 4, 4], [5, 4, 4], [4, 5, 4]], cell=[10, 10, 10], pbc=True)
PRINT = 'print "e{} = $(pe:%.17g)"\n'
REFUSAL = "ERROR: Pair style tdn: settings changed after the last run: leave out pre no"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(ATOMS, ["H", "O"], tmp_path / "data.test")
    return tmp_path


def start(folder: Path, model: Path, commands: str, n_ranks: int = 1) -> Run:
    pair = f"pair_style tdn device cpu\npair_coeff * * {model} H O\n"
    return run(setup(ATOMS) + pair + commands, n_ranks, folder)


def test_types_set_between_rebuilds(folder: Path, archives):
    """`set type` followed by a run without setup reads the new type."""
    commands = f"run 1\n{PRINT.format(0)}set atom 2 type 2\nrun 1 pre no\n{PRINT.format(1)}run 0\n{PRINT.format(2)}"
    done = start(folder, archives["message", "float64"], commands)
    assert done.returncode == 0, done.output
    before, without_setup, fresh = (done.values(f"e{k}")[0] for k in range(3))
    assert abs(fresh - before) > 1e-2
    assert without_setup == pytest.approx(fresh, abs=1e-12)


@pytest.fixture
def lattice(tmp_path: Path) -> Path:
    """512 atoms of two elements; fix sgcmc asks for a box of four cutoffs."""
    rng = np.random.default_rng(1)
    points = 2.0 * np.stack(np.meshgrid(*3 * [range(8)], indexing="ij"), -1).reshape(-1, 3)
    atoms = ase.Atoms(rng.permutation(["O", "H"] * 256), positions=points + 0.3 * rng.random(points.shape), pbc=True)
    atoms.set_cell([16, 16, 16])
    write_data(atoms, ["H", "O"], tmp_path / "data.test")
    return tmp_path


def test_types_swapped_by_sgcmc(lattice: Path, archives):
    """Monte Carlo swaps types of owned and ghost atoms between rebuilds."""
    commands = (
        "variable o atom type==2\ncompute n all reduce sum v_o\nneighbor 0.5 bin\n"
        "neigh_modify every 1000 delay 1000 check no\ntimestep 0.0001\nfix 1 all nve\n"
        "thermo_style custom step pe c_n\nrun 0\n"
        'print "n0 = $(c_n)"\n'
        "fix mc all sgcmc 5 0.05 3000 0.0 randseed 17\nrun 12\n"
        f'print "n1 = $(c_n)"\n{PRINT.format(1)}unfix mc\nrun 0\n{PRINT.format(2)}'
    )
    done = simulate(lattice, archives["message", "float64"], 1, commands)
    assert done.values("n1")[0] != done.values("n0")[0]
    assert done.values("e1")[0] == pytest.approx(done.values("e2")[0], abs=1e-9)


@pytest.mark.parametrize("atom, new_type", [(1, 1), (2, 2)])
def test_type_that_leaves_or_enters_the_model(folder: Path, archives, atom: int, new_type: int):
    """With NULL a swap of types changes who takes part, which needs new lists."""
    pair = (
        "pair_style hybrid tdn device cpu zero 3.0\n"
        f"pair_coeff * * tdn {archives['message', 'float64']} NULL O\npair_coeff 1 * zero\n"
    )
    done = run(setup(ATOMS) + pair + f"run 1\nset atom {atom} type {new_type}\nrun 1 pre no\n", 1, folder)
    assert done.returncode != 0
    sentence = (
        f"atom {atom} has entered or left the model by a new type between rebuilds of the neighbor lists before step "
        "2: give every type an element"
    )
    assert done.error.endswith(f"Pair style tdn: {sentence}"), done.output


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("change", ["pair_style tdn device cpu precision float32", "pair_coeff * * {} H O"])
def test_run_without_setup_after_a_change(folder: Path, archives, change: str, n_ranks: int):
    model = archives["message", "float64"]
    done = start(folder, model, f"run 0\n{change.format(model)}\nrun 1 pre no\n", n_ranks)
    assert done.returncode != 0
    assert done.error == REFUSAL, done.output


def test_refused_pair_coeff_leaves_the_model(folder: Path, archives):
    """The exception of a wrong pair_coeff is caught; the run after it is that of the model and elements before."""
    (folder / "in.test").write_text(setup(ATOMS))
    make_archive("pair", "float64", folder)
    (folder / "script.py").write_text(f"""
from mpi4py import MPI
from lammps import lammps
lmp = lammps(cmdargs=["-log", "none"])
lmp.file("in.test")
lmp.command("pair_style tdn device cpu")
lmp.command("pair_coeff * * {archives["message", "float64"]} H O")
lmp.command("run 0")
before = lmp.get_thermo("pe")
for wrong in ("* * pair-float64.tdn.pt O Si", "* * pair-float64.tdn.pt O", "* * none.tdn.pt O H"):
    for command in ("pair_coeff " + wrong, "run 1 pre no"):
        try:
            lmp.command(command)
        except Exception as error:
            assert "Pair style tdn" in str(error), error
        else:
            raise SystemExit("accepted " + command)
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == before, (wrong, before, lmp.get_thermo("pe"))
print("reached the end")
""")
    command = [sys.executable, "script.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert "reached the end" in done.stdout, done.stdout + done.stderr
