"""tdn.lammps.Simulation on 1, 2 and 4 ranks and on sub-communicators, against the Python model."""

from __future__ import annotations

import json
from pathlib import Path

import driver_worker
import numpy as np
import pytest
import structures
from ase import Atoms
from lammps_runner import run_python
from models import graph_of, random_model
from tolerances import LAMMPS

from tdn.deployment import write_archive
from tdn.lammps.result import COLUMNS, ROWS

WORKER = Path(driver_worker.__file__)
ELEMENTS = ("C", "H", "O", "Si")
LIMITS = LAMMPS["tables"]
ranks = pytest.mark.parametrize("n_ranks", (1, 2, 4))


@pytest.fixture(scope="module")
def model():
    model = random_model(ELEMENTS, n_channels=8, l_max=1, radial_hidden=(8, 8))
    model.set_references([-10.0, -20.0, -30.0, -40.0], 20.0)
    return model


@pytest.fixture(scope="module")
def archive(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("driver") / "model.tdn.pt"
    write_archive(model, path)
    return path.read_bytes()


@pytest.fixture
def scenario(archive, tmp_path):
    """Run a scenario; returns a reader of what it saved."""
    (tmp_path / driver_worker.ARCHIVE).write_bytes(archive)

    def go(name: str, n_ranks: int):
        done = run_python(WORKER, n_ranks, tmp_path, name, timeout=120)
        assert done.returncode == 0, done.output
        return lambda result: dict(np.load(tmp_path / f"{result}.npz"))

    return go


def assert_same(got: dict[str, np.ndarray], model, atoms: Atoms, ids: list[int] | None = None) -> None:
    """All numbers of a result against the Python model, in the frame of the structure."""
    want = model(graph_of(model, atoms))
    assert got["ids"].tolist() == (ids or list(range(1, len(atoms) + 1)))
    energies, virial = want.atom_energies.numpy(), want.virial[0].numpy()[ROWS, COLUMNS]
    assert abs(got["atom_energies"] - energies).max() <= LIMITS["energy"]
    assert abs(got["energy"] - energies.sum()) <= LIMITS["energy"] * len(atoms)
    assert abs(got["forces"] - want.forces.numpy()).max() <= LIMITS["forces"]
    nearby = LIMITS["virial"] * abs(virial).max() + 1e-12
    assert abs(got["virial"] - virial[:6]).max() <= nearby
    if "atom_virials" in got:
        assert abs(got["atom_virials"].sum(0) - virial[:6]).max() <= nearby
        assert abs(got["centroid_virials"].sum(0) - virial).max() <= nearby


@ranks
def test_evaluate_and_move(n_ranks, scenario, model, tmp_path):
    """Every rank has all arrays; atoms may be moved anywhere; the log is LAMMPS's."""
    read, water = scenario("world_scenario", n_ranks), structures.water(2)
    assert_same(read("water"), model, water)
    assert_same(read("back"), model, water)
    water.positions = driver_worker.moved()
    assert_same(read("moved"), model, water)
    assert abs(read("moved")["energy"] - read("water")["energy"]) > 1e-3
    assert "pair_style tdn device cpu" in (tmp_path / "driver.log").read_text()


@ranks
def test_ids_with_gaps_and_ranks_without_atoms(n_ranks, scenario, model):
    read, water = scenario("gaps", n_ranks), structures.water(2)
    kept = [k for k in range(1, 25) if k not in driver_worker.DELETED]
    rest = water[[k - 1 for k in kept]]
    assert_same(read("gaps"), model, rest, kept)
    assert_same(read("gaps_moved"), model, rest, kept)
    assert np.allclose(read("gaps_moved")["forces"], read("gaps")["forces"], atol=1e-9)
    assert_same(read("one"), model, water[:1], [1])
    assert read("none")["forces"].shape == (0, 3) and read("none")["energy"] == 0


@ranks
def test_results_come_in_the_frame_of_the_structure(n_ranks, scenario, model):
    """Forces and both forms of the virial are turned back from LAMMPS's frame."""
    read = scenario("frames", n_ranks)
    assert np.linalg.det(driver_worker.left_handed().cell.array) < 0
    assert_same(read("left_handed"), model, driver_worker.left_handed())
    assert_same(read("wire"), model, driver_worker.wire())
    assert_same(read("molecule"), model, structures.ethanol())


def test_two_sub_communicators_at_once(scenario, model):
    """Different structures on ranks 0-1 and 2-3; the fifth rank runs nothing."""
    read = scenario("split", 5)
    assert_same(read("color0"), model, structures.water(2))
    assert_same(read("color1"), model, structures.silicon_triclinic())


def test_every_unit_style_gives_ev_and_angstrom(scenario, model):
    """The Python table of units and that of C++ agree."""
    read = scenario("units", 2)
    for style in driver_worker.UNITS:
        assert_same(read(style), model, structures.water(2))


@ranks
def test_hybrid_charges_and_tiled(n_ranks, scenario, model):
    assert_same(scenario("options", n_ranks)("hybrid"), model, structures.water(2))


SENTENCES = {
    "unknown command": "Unknown command: no_such_command",
    "bad keyword": "Pair style tdn: keyword device has the value 'cpux': use auto cpu cuda",
    "shape": "positions have the shape (2, 3) but there are 9 atoms; give (n, 3)",
    "outside": "atom 1 would leave the box in direction z, which is not periodic; start from a structure with a larger "
    "cell",
    "units": "units 'lj' have no length and energy in angstrom and eV; use one of metal real si cgs electron micro "
    "nano",
    "no model": "neither a model nor pair lines are given; name an archive such as 'water.tdn.pt'",
    "no elements": "the structure has no atoms and no elements are named; write elements=['O', 'H'] for example",
    "element": "element O of the structure is not among the elements ['H']; add it there",
    "no element": "'Oxygen' in elements is not a chemical symbol; write one such as O per atom type",
    "atom style": "atom_style 'sphere' cannot be written; use one of atomic charge molecular full",
    "log": "the folder of the log file 'none/log' does not exist; make it or name another file",
    "missing file": "Pair style tdn: model file 'none.tdn.pt' cannot be read or is empty: check its name and "
    "permissions",
    "temporary": "the structure cannot be written for LAMMPS ([Errno 2] No such file or directory: ",
}


@ranks
def test_errors_are_sentences_on_every_rank(n_ranks, scenario, model, tmp_path):
    """And a new simulation in the same process works."""
    read = scenario("sentences", n_ranks)
    found = json.loads((tmp_path / "sentences.json").read_text())
    assert set(found) == set(SENTENCES)
    for name, sentence in SENTENCES.items():
        assert found[name] == sentence or (name == "temporary" and found[name].startswith(sentence)), name
    assert_same(read("after"), model, structures.water(2))


@ranks
def test_error_of_one_rank_ends_all(n_ranks, archive, tmp_path):
    """On one rank alone it is a TDNError; several ranks end together with one message."""
    (tmp_path / driver_worker.ARCHIVE).write_bytes(archive)
    done = run_python(WORKER, n_ranks, tmp_path, "one_rank", timeout=90)
    sentence = "at the same point at step 0: remove one of them or use a smaller time step"
    assert done.output.count(sentence) == 1, done.output
    assert (done.returncode == 0) == (n_ranks == 1)
    assert ("TDNError: Pair style tdn: atoms " in done.output) == (n_ranks == 1)
