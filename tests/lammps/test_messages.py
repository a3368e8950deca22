"""Messages of a run, counted between LAMMPS and MPI: their number is that of neighbor ranks, their bytes the plan's."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest
import structures
import torch
from cpp_build import build
from lammps_runner import run, setup, write_data
from make_archives import N_COLUMNS, make_archive
from models import random_model

from tdn.deployment import read_label, write_archive
from tdn.plan import parse_plan

ELEMENTS = ["H", "O"]
MODELS = ("message", "tdn")
STYLES = {"brick": "", "tiled": "comm_style tiled"}
#: ghost_exchange.cpp and exchange_plan.cpp
TAGS_REQUEST, TAG_FORWARD, TAG_ADJOINT = (0, 1), 2, 3
OURS = {*(("MPI_Issend", tag) for tag in TAGS_REQUEST), ("MPI_Isend", TAG_FORWARD), ("MPI_Isend", TAG_ADJOINT)}
N_STEPS = 4
N_EVALUATIONS = N_STEPS + 1  # one before the first step
INPUT = """
pair_style tdn device cpu
pair_coeff * * {model}.tdn.pt H O
{balance}
velocity all create 10 1
fix f all nve
timestep 0.0001
neigh_modify every 1000 delay 1000 check no
run {steps}
"""

Row = dict[str, object]


class Messages:
    """What every rank handed to MPI."""

    def __init__(self, folder: Path, n_ranks: int, output: str):
        self.ranks: list[list[Row]] = [json.loads((folder / f"count{r}.json").read_text()) for r in range(n_ranks)]
        self.plan = parse_plan(output)

    def ours(self, rank: int, call: str, *tags: int) -> dict[int, tuple[int, int]]:
        """Calls and bytes by the other rank, on communicators that are not MPI_COMM_WORLD."""
        rows = [row for row in self.ranks[rank] if row["call"] == call and row["tag"] in tags and not row["world"]]
        return {row["other"]: (row["calls"], row["bytes"]) for row in rows}


@pytest.fixture(scope="module")
def counter() -> Path:
    """The library that counts."""
    return build("count_messages") / "libcount_messages.so"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both archives and a box of water."""
    folder = tmp_path_factory.mktemp("messages")
    make_archive("message", "float64", folder).rename(folder / "message.tdn.pt")
    model = random_model(("H", "O"), cutoff=3.0, n_channels=8, n_layers=3, l_max=1, radial_hidden=(8, 8))
    write_archive(model, folder / "tdn.tdn.pt", torch.float32)
    write_data(structures.water(3), ELEMENTS, folder / "data.test")
    return folder


@pytest.fixture(scope="module")
def counted(counter: Path, folder: Path):
    """Messages of each case; every case is run once."""
    runs: dict[tuple[str, int, str], Messages] = {}

    def count(model: str, n_ranks: int, style: str) -> Messages:
        case = (model, n_ranks, style)
        if case not in runs:
            before = setup(structures.water(3), commands=STYLES[style])
            text = before + INPUT.format(model=model, steps=N_STEPS, balance=balance(style))
            prefix = str(folder / "count")
            done = run(text, n_ranks, folder, LD_PRELOAD=str(counter), TDN_COUNT_MESSAGES=prefix)
            assert done.returncode == 0, done.output
            runs[case] = Messages(folder, n_ranks, done.output)
        return runs[case]

    return count


def balance(style: str) -> str:
    """Tiled subdomains come from bisection."""
    return "balance 1.0 rcb" if style == "tiled" else ""


def widths(folder: Path, model: str) -> tuple[list[int], int]:
    """Columns of each layer and bytes of a number."""
    label = read_label(folder / f"{model}.tdn.pt")
    return label["layer_widths"], {"float32": 4, "float64": 8}[label["dtype"]]


CASES = [pytest.param(*case, id="{}-{}-{}".format(*case)) for case in product(MODELS, (2, 4, 8), STYLES)]


@pytest.mark.parametrize(("model", "n_ranks", "style"), CASES)
def test_one_message_per_neighbor_rank_layer_and_direction(counted, folder, model: str, n_ranks: int, style: str):
    """The evaluations of the cost estimate at the first step exchange nothing: the counts leave no room for them."""
    messages = counted(model, n_ranks, style)
    expected = len(widths(folder, model)[0]) * N_EVALUATIONS
    neighbors = []
    for rank in range(n_ranks):
        asked = messages.ours(rank, "MPI_Issend", *TAGS_REQUEST)
        assert {calls for calls, _ in asked.values()} == {1}  # one plan for the whole run
        for tag in (TAG_FORWARD, TAG_ADJOINT):
            for call in ("MPI_Isend", "MPI_Irecv"):
                found = messages.ours(rank, call, tag)
                assert found.keys() == asked.keys()
                assert {calls for calls, _ in found.values()} == {expected}
        neighbors.append(len(asked))
    mean, largest = messages.plan["messages per layer and direction"]
    assert (mean, largest) == (pytest.approx(sum(neighbors) / n_ranks, rel=1e-3), max(neighbors))


@pytest.mark.parametrize(("model", "n_ranks", "style"), CASES)
def test_bytes_are_those_of_the_plan(counted, folder, model: str, n_ranks: int, style: str):
    messages = counted(model, n_ranks, style)
    columns, size = widths(folder, model)
    per_row = sum(columns) * size * N_EVALUATIONS
    sent: dict[int, list[int]] = defaultdict(list)
    for rank, tag in product(range(n_ranks), (TAG_FORWARD, TAG_ADJOINT)):
        found = messages.ours(rank, "MPI_Isend", tag)
        assert all(n_bytes > 0 and n_bytes % per_row == 0 for _, n_bytes in found.values())
        sent[tag].append(sum(n_bytes for _, n_bytes in found.values()))
    forward = [n_bytes / N_EVALUATIONS for n_bytes in sent[TAG_FORWARD]]
    both = [(f + a) / N_EVALUATIONS for f, a in zip(sent[TAG_FORWARD], sent[TAG_ADJOINT], strict=True)]
    for quantity, values in (
        ("MB per layer and direction", [n_bytes / len(columns) for n_bytes in forward]),
        ("MB per step", both),
    ):
        mean, largest = messages.plan[quantity]
        assert mean == pytest.approx(sum(values) / n_ranks / 1e6, rel=1e-3), quantity
        assert largest == pytest.approx(max(values) / 1e6, rel=1e-3), quantity
    remote = sum(sent[TAG_FORWARD]) / per_row / n_ranks
    assert messages.plan["remote atoms"][0] == pytest.approx(remote, rel=1e-3)


@pytest.mark.parametrize(("model", "n_ranks", "style"), CASES)
def test_what_is_sent_arrives_and_comes_back(counted, model: str, n_ranks: int, style: str):
    """A receives what B sends, and the gradients of the rows that B sent to A go from A to B."""
    messages = counted(model, n_ranks, style)
    for rank, tag in product(range(n_ranks), (TAG_FORWARD, TAG_ADJOINT)):
        for other, counts in messages.ours(rank, "MPI_Isend", tag).items():
            assert messages.ours(other, "MPI_Irecv", tag)[rank] == counts
            assert messages.ours(other, "MPI_Isend", TAG_FORWARD + TAG_ADJOINT - tag)[rank] == counts


@pytest.mark.parametrize(("model", "n_ranks", "style"), CASES)
def test_nothing_of_ours_is_on_the_communicator_of_others(counted, model: str, n_ranks: int, style: str):
    for rows in counted(model, n_ranks, style).ranks:
        assert any(row["world"] for row in rows)  # LAMMPS's own are counted too
        assert OURS.isdisjoint((row["call"], row["tag"]) for row in rows if row["world"])


@pytest.mark.parametrize(("model", "n_ranks", "style"), CASES)
def test_no_other_thread_sends_and_no_layer_ends_with_a_barrier(counted, model: str, n_ranks: int, style: str):
    for rows in counted(model, n_ranks, style).ranks:
        assert all(row["main_thread"] for row in rows)
        assert [row for row in rows if row["call"] == "MPI_Barrier" and not row["world"]] == []


@pytest.mark.parametrize("model", MODELS)
def test_one_rank_sends_nothing(counted, model: str):
    messages = counted(model, 1, "brick")
    assert [row for row in messages.ranks[0] if not row["world"]] == []
    assert messages.plan["MB per step"] == (0, 0)


def test_archive_is_wide(folder):
    """Rows of many columns travel as one message."""
    assert widths(folder, "message") == ([N_COLUMNS, N_COLUMNS], 8)
