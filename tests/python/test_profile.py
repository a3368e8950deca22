"""``tdn profile``: its table, its sentences, and its counts against those of torch and by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest
import torch
from make_archives import make_archive
from models import graph_of, random_model
from structures import water
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tdn.cli import main
from tdn.deployment import write_archive
from tdn.deployment.deployed import DeployedModel
from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig
from tdn.plan.profile import lattice_graph, profile
from tdn.plan.stages import SIGMOID, Count, count_stages

PASSES = ("forward", "backward")
EDGE_STAGES = ("geometry", "messages", "products", "attention")
STAGES = {f"{direction} {stage}" for direction in PASSES for stage in (*EDGE_STAGES, "nodes")}
N_ATOMS, N_EDGES = 5, 70  # of the shapes that are counted


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A small model of water."""
    path = tmp_path_factory.mktemp("profile") / "small.tdn.pt"
    write_archive(random_model(("H", "O")), path)
    return path


@pytest.fixture
def command(capsys):
    """Run ``tdn profile``; returns exit status, what it prints, and its error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["profile", *(str(argument) for argument in arguments)])
        return status, *capsys.readouterr()

    return run


def rows(text: str) -> dict[str, list[float]]:
    """Numbers of each row of the table."""
    lines = [re.match(r"([a-z ]+?)\s+([\d.% ]+)$", line) for line in text.splitlines()]
    return {line[1]: [float(word.rstrip("%")) for word in line[2].split()] for line in lines if line}


class TestCommand:
    def test_every_stage_has_a_floor(self, archive, command):
        status, text, _ = command(archive, "--atoms", 200, "--repeats", 2)
        assert status == 0
        assert re.search(r"engine fused \w+, 216 atoms, \d+\.\d edges per atom", text)
        assert re.search(r"[1-9]\d*\.\d us per atom and step, [1-9]\d*\.\d KB per atom kept by the engine", text)
        assert re.search(r"one core: [1-9]\d* GFLOP/s in registers, [1-9]\d* in matrix products", text)
        table = rows(text)
        assert set(table) == STAGES | {"exchange", "all"}
        assert len(table["exchange"]) == 2  # nothing is counted of it
        assert all(len(table[name]) == 7 for name in (STAGES | {"all"}))
        parts = [table[name] for name in STAGES | {"exchange"}]
        assert table["all"][0] == pytest.approx(sum(part[0] for part in parts), abs=0.1)  # ms
        assert sum(part[1] for part in parts) == pytest.approx(100, abs=1)

    def test_stages_of_engine_and_counts_are_the_same(self, archive):
        found = profile(archive, lambda model: lattice_graph(model, 100), 2)
        assert set(found.counts) == STAGES == set(found.stages) - {"exchange"}
        assert found.counts == counts(random_model(("H", "O")), found.n_atoms, found.n_edges, 8)
        assert all(spent > 0 for name, spent in found.stages.items() if name != "exchange")

    def test_structure(self, archive, command, tmp_path):
        atoms = water(2)
        ase.io.write(tmp_path / "water.xyz", atoms)
        n_edges = len(graph_of(random_model(("H", "O")), atoms).center)
        status, text, _ = command(archive, "--structure", tmp_path / "water.xyz", "--repeats", 1)
        assert status == 0
        assert f", 24 atoms, {n_edges / 24:.1f} edges per atom" in text

    def test_script_engine_says_what_it_cannot(self, command, tmp_path):
        path = tmp_path / "networks.tdn.pt"
        write_archive(random_model(("H", "O")), path, tabulate=False)
        status, text, _ = command(path, "--atoms", 8, "--repeats", 1)
        assert status == 0
        assert text.startswith("engine script, 8 atoms")
        assert "engine script does not time its stages" in text
        assert "all" not in rows(text)

    @pytest.mark.parametrize("option", ["--atoms", "--threads", "--repeats"])
    @pytest.mark.parametrize("value", [0, -3])
    def test_bad_numbers(self, archive, command, option, value):
        status, text, error = command(archive, option, value)
        assert (status, text) == (1, "")
        assert error == f"tdn profile: {option} is {value}; give a whole number of at least 1\n"

    def test_files_that_do_not_fit(self, archive, command, tmp_path):
        ase.io.write(tmp_path / "gold.xyz", ase.Atoms("Au", [[0, 0, 0]]))
        for arguments, sentence in (
            ((tmp_path / "none.tdn.pt",), "does not exist; make one with 'tdn deploy"),
            ((archive, "--structure", tmp_path / "none.xyz"), "does not exist"),
            ((archive, "--structure", tmp_path / "gold.xyz"), "Au"),
        ):
            status, text, error = command(*arguments)
            assert (status, text) == (1, "")
            assert error.startswith("tdn profile: ") and error.count("\n") == 1
            assert sentence in error

    def test_archive_without_configuration(self, tmp_path):
        path = make_archive("pair", "float64", tmp_path)
        with pytest.raises(TDNError, match=r"has no model_config, so its stages are unknown; deploy the model again"):
            profile(path, lambda model: lattice_graph(model, 8), 1)


def test_lattice_has_the_neighbors_of_the_training_data(archive):
    model = DeployedModel(archive)
    graph = lattice_graph(model, 500)
    assert len(graph.species) == 512  # the next cube
    assert set(graph.species.tolist()) == {0, 1}
    assert len(graph.center) / 512 == pytest.approx(random_model(("H", "O")).config.avg_degree, rel=0.2)


def flops(work: Callable[[], object]) -> dict[str, int]:
    """Operations of matrix products by class of the module that runs them, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        work()
    return {name: sum(operations.values()) for name, operations in counter.get_flop_counts().items()}


def arrays(model: TDN) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Features, edge indices and edge features of the shapes to count; operations do not depend on their values."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    x = torch.randn(N_ATOMS, config.n_components, config.n_channels, generator=generator, dtype=torch.float64)
    center, neighbor = (torch.randint(N_ATOMS, (N_EDGES,), generator=generator) for _ in range(2))
    vectors = torch.randn(N_EDGES, 3, generator=generator, dtype=torch.float64)
    pair = torch.zeros_like(center)
    return x, [center, neighbor, pair], model.network.edge_features(vectors, pair)


def edge_maps(attention: torch.nn.Module, message: Tensor) -> Tensor:
    """The three maps of an edge: values of all rows, gates and logits of the scalar one."""
    scalar = message[:, 0]
    return attention.values(message).sum() + attention.gates(scalar).sum() + attention.logits(scalar).sum()


def counts(model: TDN, n_atoms: int = N_ATOMS, n_edges: int = N_EDGES, size: int = 4) -> dict[str, Count]:
    return count_stages(model.config, n_atoms, n_edges, size)


@pytest.mark.parametrize("l_max", [1, 2, 3])
class TestAgainstTorch:
    @pytest.fixture
    def model(self, l_max) -> TDN:
        return random_model(("H", "O"), l_max=l_max, n_channels=8, n_layers=3, n_heads=2).requires_grad_(False)

    def test_products_of_edges(self, model):
        x, edges, features = arrays(model)
        attention = model.network.layers[0].attention
        forward = flops(lambda: attention.receive(x, attention.send(x), *edges, features))["Linear"]
        message = torch.randn(N_EDGES, *x.shape[1:], dtype=torch.float64, requires_grad=True)
        out = edge_maps(attention, message)
        adjoint = flops(lambda: torch.autograd.grad(out, message))["Global"]
        found = counts(model)
        assert found["forward products"].operations == 3 * forward
        assert found["backward products"].operations == 3 * (forward + adjoint)  # recomputed, then backward

    def test_products_with_the_edge_matrix(self, model):
        """Dense products of both kinds; the last layer's second one has a single row."""
        x, edges, features = arrays(model)
        attention = model.network.layers[0].attention
        whole = flops(lambda: attention.receive(x, attention.send(x), *edges, features))["EdgeProduct"] / 2
        config, found = model.config, counts(model)
        others = (12 + 2 * config.n_components) * config.n_channels * N_EDGES  # table, sum, times w
        assert found["forward messages"].operations == 3 * (whole + others)
        rest = found["forward attention"].operations - (2 + 1 / config.n_components) * whole
        assert rest / (3 * N_EDGES * config.n_channels) == pytest.approx(3 * SIGMOID + config.n_components + 6)

    def test_products_of_atoms(self, model):
        x, edges, features = arrays(model)
        network, d = model.network, model.config.n_components
        layer = network.layers[0]
        rows = flops(lambda: layer.attention.send(x))["SharedLinear"]  # of d rows, as in center and out
        inner = flops(lambda: layer.feed_forward(x))
        maps, gates = inner["FeedForward.values"], inner["FeedForward.gates"]
        assert rows == maps == inner["FeedForward.out"]
        embedding = flops(lambda: network.embed(torch.zeros(N_ATOMS, dtype=torch.long), edges[0], edges[2], features))
        ends = embedding["Embedding"] - embedding["Embedding.radial"] + gates  # the head's map has one row
        outputs = 2 + 1 / d  # of the last layer only the scalar row is read
        forward = 3 * (2 * rows + gates) + outputs * 3 * rows + ends
        again = 2 * rows + 3 * rows + 3 * gates + outputs * 2 * rows  # send, center, gates, out and values
        found = counts(model)
        assert found["forward nodes"].operations == pytest.approx(forward)
        assert found["backward nodes"].operations == pytest.approx(forward + again)


class TestCounts:
    def test_tiny_model_by_hand(self):
        """One edge, two channels, l_max 1, one layer."""
        found = count_stages(ModelConfig(("H",), n_channels=2, n_layers=1, n_heads=1), 1, 1, 4)
        # 6 coefficients; 4 sums; 4 x 4 matrix; 4 times w; each for two channels
        assert found["forward messages"].operations == 2 * (12 + 4 + 32 + 4)
        # rows 1 + 3 of values, 1 of gates, 1 of logits, each 2 x 2 multiply-adds
        assert found["forward products"].operations == 6 * 8
        # send 4, center 4, out 1, values 1, gates 1, feed-forward's out 1; embedding 4, head 1
        assert found["forward nodes"].operations == 17 * 8
        # reads a neighbor's row (4 numbers) and 6 coefficients per channel
        assert found["forward messages"].bytes == 4 * 2 * (4 + 6)

    def test_separate_weights_by_hand(self):
        """The same with four paths: 1 + 3 entries to the scalar, 3 + 9 to the vector, 1 + 1 + 3 + 3 weighted rows."""
        config = ModelConfig(("H",), n_channels=2, n_layers=1, n_heads=1, path_weights="separate")
        found = count_stages(config, 1, 1, 4)
        assert found["forward messages"].operations == 2 * (4 * 12 + 4 + 32 + 16)
        assert found["forward messages"].bytes == 4 * 2 * (4 + 4 * 6)
        shared = count_stages(ModelConfig(("H",), n_channels=2, n_layers=1, n_heads=1), 1, 1, 4)
        assert found["forward attention"] == shared["forward attention"]  # one row, four entries

    def test_linear_in_atoms_edges_and_bytes_of_a_number(self):
        model = random_model(("H", "O"))
        once, twice, wide = counts(model), counts(model, 2 * N_ATOMS, 2 * N_EDGES), counts(model, size=8)
        for name in STAGES:
            assert twice[name] == Count(2 * once[name].operations, 2 * once[name].bytes)
            assert wide[name] == Count(once[name].operations, 2 * once[name].bytes)

    def test_the_slower_of_processor_and_memory_is_the_floor(self):
        assert Count(100.0, 30.0).floor(10.0, 2.0) == 15.0
        assert Count(100.0, 30.0).floor(5.0, 2.0) == 20.0
