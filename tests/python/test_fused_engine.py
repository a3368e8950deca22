"""The fused C++ engine, with the kernels of every instruction set, against its eager twin and finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fused_cases import MODELS, Case
from slopes import assert_edge_gradients_are_slopes
from tolerances import FUSED
from torch import Tensor

from tdn.deployment import write_archive
from tdn.deployment.tabulate import BOUND
from tdn.deployment.verify import random_graph
from tdn.errors import TDNError

pytest.importorskip("tdn._core")

#: From those that run anywhere to those that ask most of a processor.
KERNELS = ("reference", "portable", "avx2", "avx512")
#: Edges of the centers of a graph: kernels work on blocks of 48.
COUNTS = (200, 0, 1, 47, 48, 49, 97, 0, 3)
#: Of float64 sums in another order, relative to the largest value.
ROUNDING = 1e-13


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.make(tmp_path_factory.mktemp("fused"), **MODELS[request.param])


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """For what does not depend on the model; 20 channels are padded for the widest vectors."""
    return Case.make(tmp_path_factory.mktemp("padded"), **MODELS["l1"])


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, padded: Case) -> str:
    """Chosen for every engine that the test makes; skipped where the processor has no such instructions."""
    monkeypatch.setenv("TDN_KERNELS", request.param)
    try:
        assert padded.engine().engine == f"fused {request.param}"
    except TDNError as missing:
        assert "this processor or build has no such kernels" in str(missing)
        pytest.skip(str(missing))
    return str(request.param)


@pytest.fixture
def many_threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def test_as_the_twin_and_float32_as_float64(case: Case, kernels: str):
    graph = case.random_edges(COUNTS)
    found = case.evaluate(case.engine(), graph)
    differences = found.differences(case.twin(COUNTS))
    assert max(differences.values()) < FUSED["float64"], differences
    single = case.evaluate(case.engine(torch.float32), graph, torch.float32)
    differences = single.differences(found)
    assert max(differences.values()) < FUSED["float32"], differences


def test_gradient_against_finite_differences(case: Case, kernels: str):
    graph, engine = case.random_edges((9, 0, 50, 4)), case.engine()

    def energy(vectors: Tensor) -> Tensor:
        return case.evaluate(engine, replace(graph, vectors=vectors)).energies.sum()

    assert_edge_gradients_are_slopes(energy, graph.vectors, case.evaluate(engine, graph).gradients)


def test_nobody_and_atoms_alone(case: Case, kernels: str):
    for n_atoms in (0, 1, 30):
        alone = case.evaluate(case.engine(), case.random_edges((0,) * n_atoms))
        assert alone.energies.shape == (n_atoms,) and alone.gradients.shape == (0, 3)
        torch.testing.assert_close(alone.energies, torch.zeros(n_atoms, dtype=torch.float64), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_same_bits_again(padded: Case, kernels: str, dtype: torch.dtype):
    """Also after other graphs in the same memory, and from another engine."""
    graph, other = padded.random_edges(COUNTS), padded.random_edges((5, 0, 60), seed=1)
    first = padded.evaluate(padded.engine(dtype), graph, dtype)
    padded.evaluate(padded.engine(dtype), other, dtype)
    for engine in (padded.engine(dtype), padded.new_engine(dtype)):
        assert padded.evaluate(engine, graph, dtype).same_bits(first)


@pytest.mark.parametrize("counts", [COUNTS, (60,), (0, 0, 5)], ids=["many", "one", "few"])
def test_threads(padded: Case, kernels: str, many_threads: None, counts: tuple[int, ...]):
    """Fewer atoms than threads, too."""
    graph, engine = padded.random_edges(counts), padded.engine()
    expected = padded.evaluate(engine, graph)
    for n_threads in (2, 3):
        torch.set_num_threads(n_threads)
        found = padded.evaluate(engine, graph)
        differences = found.differences(expected)
        assert max(differences.values()) < ROUNDING, differences
        assert padded.evaluate(engine, graph).same_bits(found)


def test_rows_that_copy_owned_atoms_change_nothing(padded: Case, kernels: str):
    """Every second edge reads a copy of its neighbor, a row behind the owned ones."""
    graph = padded.random_edges(COUNTS)
    n = graph.species.size(0)
    row_map = torch.cat([torch.arange(n), torch.arange(n).flip(0)])
    neighbor = graph.neighbor.clone()
    neighbor[::2] = 2 * n - 1 - neighbor[::2]
    copied = replace(graph, species=graph.species[row_map], neighbor=neighbor)
    found = padded.evaluate(padded.engine(), copied, n_owned=n, row_map=row_map)
    differences = found.differences(padded.evaluate(padded.engine(), graph))
    assert max(differences.values()) < ROUNDING, differences


def test_tables_of_some_elements_only(padded: Case, kernels: str):
    graph = padded.random_edges(COUNTS)
    graph = replace(graph, species=2 * (graph.species // 2))
    found = padded.evaluate(padded.new_engine(species=[2, 0]), graph)
    assert found.same_bits(padded.evaluate(padded.engine(), graph))


def test_widest_kernels_unless_asked(padded: Case, kernels: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TDN_KERNELS", "")
    widest = padded.new_engine().engine.removeprefix("fused ")
    assert KERNELS.index(widest) >= KERNELS.index(kernels)


@pytest.mark.parametrize("name", ["l2 so3", "paper"])
def test_as_the_script_engine(name: str, tmp_path: Path):
    """Which runs the radial networks themselves."""
    case = Case.make(tmp_path, **MODELS[name])
    write_archive(case.model, case.archive, overwrite=True)
    graph, script, automatic = random_graph(case.model, 24, seed=5), case.new_engine(engine="script"), case.new_engine()
    assert (script.engine, automatic.engine.split()[0]) == ("script", "fused")
    differences = case.evaluate(automatic, graph).differences(case.evaluate(script, graph))
    assert 0.0 < max(differences.values()) < BOUND, differences


class TestRefused:
    @pytest.mark.parametrize(
        "n_knots, options, because",
        [(0, {}, "the archive holds no tables"), (33, {"l_max": 4, "n_layers": 1}, "its l_max is above 3")],
        ids=["no tables", "l_max 4"],
    )
    def test_archives_it_cannot_run(self, tmp_path: Path, n_knots: int, options: dict[str, int], because: str):
        case = Case.make(tmp_path, n_knots, **(MODELS["l1"] | options))
        with pytest.raises(TDNError, match=rf"^engine fused cannot run '.*' because {because}.*: use engine auto or"):
            case.new_engine()
        assert case.new_engine(engine="auto").engine == "script"

    def test_kernels_that_nobody_has(self, padded: Case, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("TDN_KERNELS", "nonsense")
        with pytest.raises(TDNError, match=r"^environment variable TDN_KERNELS is 'nonsense': use reference, .* unset"):
            padded.new_engine()
