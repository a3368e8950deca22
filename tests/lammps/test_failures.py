"""An error on one rank ends all of them with one sentence; a possible later problem is reported once."""

from __future__ import annotations

import re
from pathlib import Path

import ase
import pytest
import structures
import torch
from lammps_runner import Run, run, setup, write_data
from make_archives import PairModel, label, make_archive, write
from torch import Tensor

from tdn.plan import parse_plan

ELEMENTS = ["H", "O"]
#: Seconds: all ranks end within 20 of the failure; starting four processes on two busy cores takes the rest.
TIMEOUT = 20 + 40
BOX = 20.0
STRIPS = "processors 4 1 1"  # 5 angstrom each, along x
MODEL = "model.tdn.pt"


def write_strips(folder: Path, last: list[list[float]], symbols: str = "OO") -> ase.Atoms:
    """Two hydrogen atoms on each of the ranks 0 to 2 (IDs 1 to 6) and ``last`` on rank 3 (IDs from 7)."""
    positions = [[5 * strip + 2, y, 10.0] for strip in range(3) for y in (9.5, 10.5)]
    atoms = ase.Atoms("H6" + symbols, positions=[*positions, *last], cell=[BOX] * 3, pbc=True)
    write_data(atoms, ELEMENTS, folder / "data.test")
    return atoms


def run_model(atoms: ase.Atoms, folder: Path, after: str = "run 5", before: str = STRIPS, n_ranks: int = 4) -> Run:
    text = f"{setup(atoms, commands=before)}pair_style tdn device cpu\npair_coeff * * {MODEL} H O\n{after}\n"
    return run(text, n_ranks, folder, timeout=TIMEOUT)


def assert_one_message(done: Run, sentence: str) -> None:
    """The sentence is the only error, once, whichever rank said it."""
    assert done.returncode != 0, done.output
    errors = [line for line in done.output.splitlines() if line.startswith("ERROR") and "Pair style tdn" in line]
    assert len(errors) == 1, done.output
    assert f"Pair style tdn: {sentence}" in errors[0], done.output
    assert done.output.count(sentence) == 1, done.output


def write_nan(folder: Path) -> None:
    """No number where two oxygen atoms see each other."""
    model = PairModel()
    model.stiffness[3] = torch.nan
    write(model, label("pair", [1], "float32", {}), folder / MODEL)


NOT_FINITE = "is not a finite number at step {} on rank 3: look for overlapping atoms or use a smaller time step"


def test_energy_that_is_no_number_on_one_rank(tmp_path: Path):
    write_nan(tmp_path)
    atoms = write_strips(tmp_path, [[16.5, 10, 10], [18.5, 10, 10]])
    assert_one_message(run_model(atoms, tmp_path), f"the energy of atom 7 {NOT_FINITE.format(0)}")


def test_energy_that_is_no_number_during_a_run(tmp_path: Path):
    """Two oxygen atoms come within the cutoff of 3 at the third step of 0.1."""
    write_nan(tmp_path)
    atoms = write_strips(tmp_path, [[16.0, 10, 10], [19.25, 10, 10]])
    after = "velocity all set 0 0 0\ngroup last id 8\nvelocity last set -100 0 0\nfix f all nve\ntimestep 0.001\nrun 10"
    assert_one_message(run_model(atoms, tmp_path, after), f"the energy of atom 7 {NOT_FINITE.format(3)}")


class BreakingModel(PairModel):
    """Breaks where two atoms are closer than 0.5 angstrom, which the estimate of costs never tries."""

    def __init__(self, kind: str):
        super().__init__()
        self.hungry = kind == "hungry"

    @torch.jit.export
    def edge_features(self, vectors: Tensor, pair: Tensor) -> list[Tensor]:
        """One feature: the energy of the edge."""
        r = torch.linalg.vector_norm(vectors, dim=1)
        if bool((r < 0.5).any()):
            r = torch.zeros([1 << 52], dtype=vectors.dtype) if self.hungry else torch.zeros([2]) + torch.zeros([3])
        envelope = (1 - (r / 3.0) ** 2) ** 3
        return [0.5 * self.stiffness[pair] * (r - 1.2) ** 2 * envelope]


FAILURES = {
    "hungry": "out of memory: use more ranks or a smaller system",
    "wrong": "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failure_of_torch_on_one_rank(tmp_path: Path, kind: str):
    write(BreakingModel(kind), label("pair", [1], "float32", {}), tmp_path / MODEL)
    atoms = write_strips(tmp_path, [[17.0, 10, 10], [17.4, 10, 10]])
    assert_one_message(run_model(atoms, tmp_path), FAILURES[kind])


@pytest.fixture
def message_model(tmp_path: Path) -> Path:
    """A folder with the closed-form model of two layers."""
    make_archive("message", "float64", tmp_path).rename(tmp_path / MODEL)
    return tmp_path


def test_overlapping_atoms_on_one_rank(message_model: Path):
    """The other ranks wait for features of the one that fails."""
    atoms = write_strips(message_model, [[17, 10, 10], [18, 10, 10], [17, 10, 10]], "OOH")
    sentence = "atoms 7 and 9 are at the same point at step 0: remove one of them or use a smaller time step"
    assert_one_message(run_model(atoms, message_model), sentence)


MEMORY = re.compile(
    r"Pair style tdn: rank (\d+) needs about (\d+) MB for (\d+) atoms and (\d+) edges but memory 1 allows 1 MB: use "
    r"more ranks or a smaller system"
)


def test_memory_that_is_not_enough_is_refused_before_it_is_spent(message_model: Path):
    """The sentence names the rank that lacks most; the plan of a run that goes on has the same numbers."""
    atoms = structures.water(6)
    atoms.cell[0, 0] *= 2  # all atoms on rank 0
    write_data(atoms, ELEMENTS, message_model / "data.test")
    done = run_model(atoms, message_model, "run 0", "processors 2 1 1", 2)
    assert done.returncode == 0, done.output
    plan = parse_plan(done.output)
    text = f"{setup(atoms, commands='processors 2 1 1')}pair_style tdn memory 1\npair_coeff * * {MODEL} H O\nrun 0\n"
    refused = run(text, 2, message_model, timeout=TIMEOUT)
    assert refused.returncode != 0
    found = MEMORY.findall(refused.output)
    assert len(found) == 1, refused.output
    rank, megabytes, n_atoms, n_edges = map(int, found[0])
    owned = int((atoms.get_scaled_positions()[:, 0] < 0.5).sum())
    assert (rank, n_atoms) == (0, owned)
    assert n_edges == pytest.approx(plan["edges"][1], rel=1e-3)
    assert megabytes == pytest.approx(plan["MB of memory"][1], abs=0.6)
    assert megabytes > 1
    assert "plan, mean" not in refused.output


CLOSE = re.compile(
    r"Pair style tdn: atoms (\d+) and (\d+) \((\w+) and (\w+)\) are (\S+) angstrom apart at step (\d+), closer than "
    r"any such pair of the training data \((\S+)\): the model extrapolates, so check the structure "
    r"\(this warning appears once\)"
)


def extrapolating(folder: Path, n_ranks: int, label: dict[str, object]) -> Run:
    """Three runs of one process; the pair of atoms 4 and 7 is 1.2 angstrom apart and lies across subdomains."""
    make_archive("message", "float64", folder, label).rename(folder / MODEL)
    close = [[9.4, 10.0, 10.0], [10.6, 10.0, 10.0]]
    corners = [[x, y, 4.0] for x in (3.0, 17.0) for y in (3.0, 17.0)]
    atoms = ase.Atoms("HOHOHOO", positions=[*corners[:3], close[0], corners[3], [10, 3, 16], close[1]], cell=[BOX] * 3)
    atoms.pbc = True
    write_data(atoms, ELEMENTS, folder / "data.test")
    return run_model(atoms, folder, "fix f all nve\nrun 0\nrun 2\nrun 2", "", n_ranks)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_pair_closer_than_the_training_data_is_warned_of_once(tmp_path: Path, n_ranks: int):
    assert warned(extrapolating(tmp_path, n_ranks, {"min_distance": 1.5})) == (1.2, 0, 1.5)


def warned(done: Run) -> tuple[float, int, float]:
    """Distance, step and limit of the one warning of atoms 4 and 7."""
    assert done.returncode == 0, done.output
    found = CLOSE.findall(done.output)
    assert len(found) == 1, done.output
    first, second, *elements, distance, step, least = found[0]
    assert {(first, elements[0]), (second, elements[1])} == {("4", "O"), ("7", "O")}
    return float(distance), int(step), float(least)


@pytest.mark.parametrize(("known", "limit"), [({"H-O": 0.9, "O-O": 1.6}, 1.6), ({"H-O": 0.9}, 3.0)])
def test_each_pair_of_elements_has_its_own_limit(tmp_path: Path, known: dict[str, float], limit: float):
    """A pair of elements that the training data do not have is new anywhere within the cutoff."""
    assert warned(extrapolating(tmp_path, 2, {"min_distance": 0.9, "min_distances": known})) == (1.2, 0, limit)


@pytest.mark.parametrize(
    "label",
    [{"min_distance": 0.0}, {"min_distance": 1.1}, {"min_distance": 2.0, "min_distances": {"H-O": 2.0, "O-O": 1.1}}],
)
def test_no_warning_of_pairs_that_the_training_data_has(tmp_path: Path, label: dict[str, object]):
    """0 stands for unknown."""
    done = extrapolating(tmp_path, 2, label)
    assert done.returncode == 0, done.output
    assert "extrapolates" not in done.output


FLIGHT = """
pair_style hybrid/overlay lj/cut 14 tdn device cpu
pair_coeff * * lj/cut 0.0 1.0
pair_coeff * * tdn {model} H O
neigh_modify every 1000 delay 1000 check no
velocity all set 0 0 0
group left id 1
group right id 2
velocity left set 200 0 0
velocity right set -200 0 0
fix f all nve
timestep 0.001
thermo 1
run {steps}
"""


def fly(folder: Path, n_ranks: int, steps: int) -> Run:
    """Two atoms 11.1 angstrom apart come 0.4 closer in each step; the border of two ranks lies between them."""
    atoms = ase.Atoms("HO", positions=[[24.45, 10, 10], [35.55, 10, 10]], cell=[60, 20, 20], pbc=True)
    write_data(atoms, ELEMENTS, folder / "data.test")
    text = setup(atoms, commands=f"processors {n_ranks} 1 1") + FLIGHT.format(model=MODEL, steps=steps)
    return run(text, n_ranks, folder, timeout=TIMEOUT)


def test_neighbor_lists_that_are_too_old(message_model: Path):
    """The plan of messages is of a time when the two atoms were out of each other's reach."""
    assert fly(message_model, 2, 20).returncode == 0
    done = fly(message_model, 2, 30)
    sentence = (
        "came within the cutoff at step 21 from beyond the cutoff plus the skin of 2, so the neighbor lists are too "
        "old: write neigh_modify every 1 delay 0 check yes or use a larger skin"
    )
    assert done.returncode != 0
    assert re.search(r"Pair style tdn: atoms (1 and 2|2 and 1) " + re.escape(sentence), done.output), done.output
    # each rank may see it before the other has ended it
    assert 1 <= done.output.count(sentence) <= 2


def test_old_neighbor_lists_of_one_rank_hold_all_it_needs(message_model: Path):
    assert fly(message_model, 1, 30).returncode == 0
