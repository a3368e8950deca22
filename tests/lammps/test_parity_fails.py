"""The parity check can fail: it sees one wrong number in what ranks exchange, and one wrong image in the graph."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import structures
import torch
from cpp_build import build
from lammps_runner import SinglePoint, single_point
from models import graph_of, random_model
from parity import assert_same
from tolerances import LAMMPS

from tdn.deployment import write_archive
from tdn.model import TDN

#: ghost_exchange.cpp; no message has the last
TAG_FORWARD, TAG_ADJOINT, TAG_OF_NOBODY = 2, 3, 99
ELEMENTS = ("H", "O")


@pytest.fixture(scope="module")
def model() -> TDN:
    return random_model(ELEMENTS, n_layers=2, n_channels=8, l_max=1, cutoff=3.5, radial_hidden=(8, 8))


@pytest.fixture(scope="module")
def archive(model: TDN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("controls") / "model.tdn.pt"
    write_archive(model, path)
    return path


def lammps(archive: Path, n_ranks: int, **environment: str) -> SinglePoint:
    """A box of water, cut in two along x on two ranks."""
    return single_point(
        structures.water(2),
        archive,
        list(ELEMENTS),
        archive.parent,
        n_ranks,
        commands="processors * 1 1",
        **environment,
    )


@pytest.mark.parametrize("tag", [TAG_OF_NOBODY, TAG_FORWARD, TAG_ADJOINT])
def test_one_exchanged_number(model: TDN, archive: Path, tag: int):
    """Of a row of features on its way to another rank, or of its gradient on the way back."""
    library = build("corrupt_message") / "libcorrupt_message.so"
    found = lammps(archive, 2, LD_PRELOAD=str(library), TDN_CORRUPT_TAG=str(tag))
    expected = model(graph_of(model, structures.water(2)))
    with nullcontext() if tag == TAG_OF_NOBODY else pytest.raises(AssertionError):
        assert_same(found, expected, LAMMPS["tables"])


def test_one_shift_of_an_image(model: TDN, archive: Path):
    atoms = structures.water(2)
    graph, found = graph_of(model, atoms), lammps(archive, 1)
    assert_same(found, model(graph), LAMMPS["tables"])
    vectors = graph.vectors.clone()
    vectors[len(vectors) // 2] += torch.from_numpy(atoms.cell.array[0])
    with pytest.raises(AssertionError):
        assert_same(found, model(replace(graph, vectors=vectors)), LAMMPS["tables"])
