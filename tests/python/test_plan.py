"""The plan of a run: volumes and counts against points thrown at random, traffic and cost against hand-made numbers."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tdn.errors import TDNError
from tdn.plan import ModelSize, Rates, System, estimate, format_plan, parse_plan, tabulate
from tdn.plan.geometry import choose_grid, remote_volumes, shell_volume
from tdn.plan.partners import dipped_volume, effective_reaches
from tdn.plan.report import HEADER

WATER_DENSITY = 0.1
MODEL = ModelSize("m", cutoff=4.5, layer_widths=(128, 64), dtype="float32")
RATES = Rates(
    model="m",
    device="cpu",
    threads=1,
    dtype="float32",
    date="2026-01-01T00:00:00+00:00",
    edges_per_atom=38.0,
    seconds_fixed=1e-3,
    seconds_per_atom=2e-5,
    seconds_per_edge=3e-6,
    bytes_fixed=1e6,
    bytes_per_atom=5e3,
    bytes_per_edge=700.0,
    bytes_per_remote=2e3,
    message_latency=1e-6,
    bandwidth=1e10,
)
#: Grid of ranks and block of each: roomy, one and two ranks along an axis, thinner than the reach, everything in reach.
CUTS = {
    "roomy": ((3, 4, 3), (20.0, 14.0, 16.0)),
    "one or two": ((1, 2, 5), (9.0, 16.0, 14.0)),
    "thin": ((1, 8, 3), (30.0, 4.0, 25.0)),
    "thin, odd": ((7, 5, 2), (2.5, 3.1, 30.0)),
    "all in reach": ((2, 2, 2), (6.0, 6.0, 6.0)),
    "one": ((1, 1, 1), (10.0, 10.0, 10.0)),
}


def distances(points: np.ndarray, block: np.ndarray, box: np.ndarray) -> np.ndarray:
    """From points (n, 3) to the nearest periodic image of the block at the origin."""
    beyond = np.maximum(points - block, 0)
    return np.linalg.norm(np.where(points <= block, 0, np.minimum(beyond, box - points)), axis=1)


@pytest.mark.parametrize("cut", CUTS)
def test_volume_near_the_block_of_every_other_rank(cut):
    grid, block = (np.array(value) for value in CUTS[cut])
    box, reach = grid * block, 6.5
    points = np.random.default_rng(0).random((400_000, 3)) * box
    owner = np.floor(points / block).astype(int) @ [1, 100, 10_000]
    near = (distances(points, block, box) < reach) & (owner > 0)
    _, hits = np.unique(owner[near], return_counts=True)
    expected = np.sort(hits) * box.prod() / len(points)
    got = np.sort(remote_volumes(tuple(block), tuple(grid), (reach,) * 3))
    assert len(got) == len(expected)
    assert got == pytest.approx(expected, abs=5 * math.sqrt(expected.max(initial=0) * box.prod() / len(points)))
    assert got.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_steiner_formula_in_a_large_box():
    (a, b, c), s = (20.0, 30.0, 40.0), 7.0
    steiner = 2 * (a * b + b * c + c * a) * s + math.pi * (a + b + c) * s**2 + 4 / 3 * math.pi * s**3
    assert sum(remote_volumes((a, b, c), (4, 4, 4), (s, s, s))) == pytest.approx(steiner, rel=1e-4)
    assert shell_volume((a, b, c), s) == pytest.approx(34 * 44 * 54 - a * b * c)


def test_part_of_a_ball_beyond_a_face_an_edge_and_a_corner():
    points = np.random.default_rng(1).uniform(-1, 1, (400_000, 3))
    points = points[np.linalg.norm(points, axis=1) < 1]
    for d in ([0.3], [0.3, 0.5], [0.1, 0.2, 0.4], [0.7, 0.8]):
        share = np.all(points[:, : len(d)] > d, axis=1).mean()
        assert dipped_volume(d, 1.0) == pytest.approx(share * 4 / 3 * math.pi, abs=0.01)
    assert dipped_volume([0.3], 1.0) == pytest.approx(math.pi * 0.7**2 * (1 - 0.7 / 3), rel=1e-3)


def random_counts(system: System, model: ModelSize) -> dict[str, float]:
    """Mean over ranks in a random arrangement, by search of neighbors."""
    box, block, grid = (np.array(value) for value in (system.box, system.block, system.grid))
    points = np.random.default_rng(2).random((system.n_atoms, 3)) * box
    owner = np.ravel_multi_index(tuple(np.floor(points / block).astype(int).T), tuple(grid))
    tree = cKDTree(points, boxsize=box)
    seen = tree.query_ball_point(points, model.cutoff + system.skin)
    remote, messages = [], []
    for rank in range(system.n_ranks):
        near = np.unique(np.concatenate([seen[k] for k in np.flatnonzero(owner == rank)]))
        others = near[owner[near] != rank]
        remote.append(len(others))
        messages.append(len(np.unique(owner[others])))
    edges = len(tree.query_pairs(model.cutoff, output_type="ndarray")) * 2 / system.n_ranks
    return {"remote": np.mean(remote), "messages": np.mean(messages), "edges": edges}


@pytest.mark.parametrize("grid", [(1, 1, 2), (1, 2, 2), (2, 2, 2), (3, 3, 3), (8, 1, 1)])
def test_counts_of_a_random_arrangement(grid):
    system = System.make(8000, math.prod(grid), WATER_DENSITY, grid=grid)
    expected, got = random_counts(system, MODEL), estimate(MODEL, system)
    assert got.atoms == pytest.approx(8000 / math.prod(grid))
    assert got.remote == pytest.approx(expected["remote"], rel=0.05)
    assert got.messages == pytest.approx(expected["messages"], rel=0.1)
    assert got.edges == pytest.approx(expected["edges"], rel=0.03)


def test_in_a_dense_system_the_whole_shell_has_partners():
    for reach in effective_reaches(1e4, 5.0):
        assert reach == pytest.approx(5.0, rel=0.03)


def test_edges_know_no_skin_and_lists_do():
    few, many = (estimate(MODEL, System.make(20_000, 4, 0.1, skin=skin)) for skin in (0.0, 3.0))
    assert few.edges == many.edges
    assert few.ghosts < many.ghosts and few.remote < many.remote


def test_remote_atoms_are_never_more_than_there_are():
    system = System.make(64, 8, 0.1)
    assert estimate(MODEL, system).remote <= 64 - 8
    assert estimate(MODEL, system).ghosts > 64
    alone = estimate(MODEL, System.make(64, 1, 0.1))
    assert (alone.remote, alone.messages, alone.step_bytes) == (0, 0, 0)
    assert alone.ghosts > 0


@pytest.mark.parametrize(
    ("n_ranks", "box", "grid"),
    [
        (1, (5, 5, 5), (1, 1, 1)),
        (2, (5, 5, 5), (1, 1, 2)),
        (4, (5, 5, 5), (1, 2, 2)),
        (8, (5, 5, 5), (2, 2, 2)),
        (12, (5, 5, 5), (2, 2, 3)),
        (7, (5, 9, 5), (1, 7, 1)),
        (16384, (5, 5, 5), (16, 32, 32)),
        (9, (9, 2, 2), (9, 1, 1)),
    ],
)
def test_grid_has_the_smallest_surface(n_ranks, box, grid):
    assert choose_grid(n_ranks, box) == grid


@pytest.mark.parametrize(
    ("changes", "layer", "step"),
    [
        ({}, 96 * 4, 2 * 192 * 4),
        ({"dtype": "float64"}, 96 * 8, 2 * 192 * 8),
        ({"wire": "bfloat16"}, 96 * 2, 2 * 192 * 2),
        ({"dtype": "float64", "force_width": 32}, 96 * 8, (192 + 32) * 8),
    ],
    ids=["float32", "float64", "bfloat16", "direct forces only send"],
)
def test_bytes_of_a_remote_row(changes, layer, step):
    got = estimate(ModelSize(**{**vars(MODEL), **changes}), System.make(10_000, 4, 0.1))
    assert got.layer_bytes == pytest.approx(got.remote * layer)
    assert got.step_bytes == pytest.approx(got.remote * step)


def test_memory_and_time_from_rates():
    system = System.make(10_000, 4, 0.1)
    got = estimate(MODEL, system, RATES)
    assert got.memory == pytest.approx(1e6 + 5e3 * got.atoms + 700 * got.edges + 2e3 * got.remote)
    exchange = 4 * got.messages * 1e-6 + got.step_bytes / 1e10
    assert got.exchange_seconds == pytest.approx(exchange)
    assert got.seconds == pytest.approx(1e-3 + 2e-5 * got.atoms + 3e-6 * got.edges + exchange)
    assert estimate(MODEL, system).memory is None


class TestReport:
    def test_text(self):
        values = {"atoms": (2000.0, 2011.0), "remote atoms": (2100.0, 2200.4), "MB per step": (3.2404, 3.36)}
        assert format_plan(values).splitlines() == [
            "Pair style tdn: plan, mean (max) per rank",
            "  atoms                                     2000 (2011)",
            "  remote atoms                              2100 (2200)",
            "  MB per step                               3.24 (3.36)",
        ]

    def test_the_last_block_of_a_log_is_read(self):
        values = tabulate(MODEL, System.make(10_000, 4, 0.1), RATES, imbalance=1.2)
        old = format_plan({"atoms": (1.0, 2.0)})
        read = parse_plan(f"LAMMPS\n{old}\nStep Temp\n{format_plan(values)}\n   Step\n  0 (1)\n")
        assert list(read) == list(values)
        for name, pair in values.items():
            assert read[name] == pytest.approx(pair, rel=1e-3)

    def test_text_without_a_block(self):
        with pytest.raises(TDNError, match="holds no line 'Pair style tdn: plan, mean"):
            parse_plan("LAMMPS\n")

    def test_units_and_unknown_values(self):
        system = System.make(10_000, 4, 0.1)
        counts = estimate(MODEL, system, RATES)
        values = tabulate(MODEL, system, RATES)
        assert values["MB per step"][0] == pytest.approx(counts.step_bytes / 1e6)
        assert values["MB of memory"][0] == pytest.approx(counts.memory / 1e6)
        assert values["ms per step"][0] == pytest.approx(counts.seconds * 1e3)
        assert list(tabulate(MODEL, system)) == list(values)[:-2]

    def test_the_fullest_rank(self):
        values = tabulate(MODEL, System.make(100_000, 4, 0.1), RATES, imbalance=1.1)
        assert values["atoms"][1] == pytest.approx(1.1 * values["atoms"][0])
        assert values["edges"][1] == pytest.approx(1.21 * values["edges"][0])
        assert all(largest >= mean for mean, largest in values.values())


def test_arithmetic_needs_neither_torch_nor_numpy():
    code = (
        "import sys\nfrom tdn.plan import *\nfrom tdn.plan.report import HEADER\n"
        "model = ModelSize('m', 4.5, (128,), 'float32')\n"
        "print(format_plan(tabulate(model, System.make(1000, 2, 0.1))))\n"
        "assert not {'torch', 'numpy', 'mpi4py', 'lammps'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(HEADER)
