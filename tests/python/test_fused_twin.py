"""The rewritten network, evaluated from ``fused_weights`` alone, against the trained model it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import random_model
from torch import Tensor

from tdn import _core, schema
from tdn.architectures import default_dtype
from tdn.data.graph import Graph
from tdn.deployment import DeployedModel, read_label, write_archive
from tdn.deployment.fused import EagerTwin
from tdn.deployment.label import make_label
from tdn.deployment.network import PAIR_TERM_KNOTS
from tdn.deployment.rewrite import deployable
from tdn.deployment.tabulate import tabulation
from tdn.deployment.verify import random_graph
from tdn.deployment.weights import archive_weights
from tdn.deployment.write import save_network
from tdn.model import TDN, ModelConfig
from tdn.model.radial import n_embedding_weights, n_path_weights

ELEMENTS = ("H", "C", "O")
#: Tables this fine show whether anything but the tables differs.
FINE = 2049
MODELS = {
    "l0": {"l_max": 0},
    "l1": {"l_max": 1, "pair_embedding": "sum"},
    "l1 bare": {"l_max": 1, "radial_norm": "none"},
    "l1 softmax": {"l_max": 1, "attention": "softmax", "norm": "smooth", "direct_forces": True},
    "l2": {"l_max": 2, "paths": "so3", "norm": "layer"},
    "l2 softmax, no norm": {"l_max": 2, "attention": "softmax"},
    "l3": {"l_max": 3, "n_layers": 1, "n_heads": 1},
    "l4": {"l_max": 4, "n_layers": 1, "n_channels": 6, "n_heads": 3},
    "cp": {"l_max": 1, "cp_rank": 6, "n_channels": 10, "n_heads": 10},
    "cp approximate": {"l_max": 1, "cp_rank": 4, "paths": "so3"},
    "direct": {"l_max": 2, "direct_forces": True},
    "separate": {"l_max": 2, "path_weights": "separate", "direct_forces": True},
    "zbl": {"l_max": 1, "pair_term": "zbl"},
    "paper": {"setting": "paper"},
    "paper gradient": {"setting": "paper", "direct_forces": False, "forces": "gradient", "l_max": 2, "norm": "smooth"},
    "paper cp": {"setting": "paper", "cp_rank": 7, "n_heads": 2},
}


def table_shape(config: ModelConfig, name: str) -> tuple[int, int, int]:
    """Of a pair, with 33 knots: a channel has one radial weight, or one for each path."""
    if name.startswith("pair_term."):
        return PAIR_TERM_KNOTS, 3, 1
    n_weights = n_embedding_weights(config) if name.startswith("embedding.") else n_path_weights(config)
    return 33, 3, n_weights * config.n_channels


def make_model(setting: str = "md", **options: object) -> TDN:
    """No weight is trivially zero or one, so that none can be forgotten."""
    if setting == "md":
        model = random_model(ELEMENTS, **({"n_channels": 12, "n_layers": 2} | options))
    else:
        torch.manual_seed(0)
        small = {"n_channels": 12, "n_layers": 2, "n_radial": 10, "radial_hidden": (16, 12)}
        with default_dtype("float64"):
            model = TDN(ModelConfig.paper(ELEMENTS, **(small | options)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    model.set_references([-13.6, -1029.0, -2041.0], 0.7)
    return model.eval()


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> TDN:
    return make_model(**MODELS[request.param])


def cluster(model: TDN, seed: int = 0) -> Graph:
    """A random cluster and, behind it, one atom of each of two elements without edges; dense with a pair term."""
    graph = random_graph(model, 16, seed)
    if model.config.pair_term != "none":
        graph = replace(graph, vectors=0.7 * graph.vectors)
    species = torch.cat([graph.species, torch.tensor([2, 0])])
    return replace(graph, species=species, batch=torch.zeros_like(species))


def arguments(model: TDN, graph: Graph, vectors: Tensor, pairs: Tensor) -> tuple[Tensor, ...]:
    """Of the twin; ``pairs`` are those that have tables."""
    slot = torch.zeros_like(graph.center)
    if model.config.smooth:
        slot = torch.searchsorted(pairs, model.pair_index(graph))
    return graph.species, graph.center, graph.neighbor, slot, vectors


def pairs_of(model: TDN, graph: Graph) -> Tensor:
    return model.pair_index(graph).unique()


def gradient(energies: Tensor, vectors: Tensor) -> Tensor:
    return torch.autograd.grad(energies.sum(), vectors)[0]


def errors(model: TDN, graph: Graph, n_knots: int) -> dict[str, float]:
    """Largest differences of the twin from the model, relative to the largest value (energies: above references)."""
    pairs = pairs_of(model, graph)
    twin = EagerTwin(deployable(model, torch.float64, n_knots).fused_weights(pairs), len(ELEMENTS))
    vectors = graph.vectors.clone().requires_grad_()
    head = model.config.direct_forces
    expected_energies, expected_direct = model._run(graph, vectors, head)
    found = {"energies": twin.atom_energies(*arguments(model, graph, vectors, pairs))}
    found["gradients"] = gradient(found["energies"], vectors)
    expected = {"energies": expected_energies, "gradients": gradient(expected_energies, vectors)}
    if head:
        found["direct"] = twin.direct_forces(*arguments(model, graph, vectors, pairs))
        expected["direct"] = expected_direct
    found, expected = ({k: v.detach() for k, v in values.items()} for values in (found, expected))
    sizes = {name: float(value.abs().max()) for name, value in expected.items()}
    references = model.network.references.energies[graph.species]
    sizes["energies"] = float((expected["energies"] - references).abs().max())
    assert min(sizes.values()) > 1e-3, sizes
    return {name: float((found[name] - value).abs().max()) / sizes[name] for name, value in expected.items()}


class TestAgainstTheModel:
    def test_only_the_tables_differ(self, model):
        found = errors(model, cluster(model), FINE)
        assert max(found.values()) < 1e-10, found

    def test_tables_within_their_bound(self, model):
        tables = tabulation(deployable(model, torch.float64))
        assert tables.within_bound
        found = errors(model, cluster(model, seed=1), tables.n_knots)
        assert max(found.values()) < 1e-6, found

    def test_atoms_without_edges(self, model):
        graph = cluster(model)
        pairs = pairs_of(model, graph)
        twin = EagerTwin(deployable(model, torch.float64, 33).fused_weights(pairs), len(ELEMENTS))
        energies = twin.atom_energies(*arguments(model, graph, graph.vectors, pairs))
        assert energies[-2:].tolist() == model.network.references.energies[[2, 0]].tolist()
        nobody = torch.zeros(0, dtype=torch.int64)
        alone = twin.atom_energies(torch.arange(3), nobody, nobody, nobody, torch.zeros(0, 3, dtype=torch.float64))
        assert alone.tolist() == model.network.references.energies.tolist()

    def test_every_weight_counts(self, model):
        """A thousandth more of any tensor changes something, but of those that cancel or are zero by design."""
        graph = cluster(model)
        pairs = pairs_of(model, graph)
        weights = deployable(model, torch.float64, 33).fused_weights(pairs)

        def outputs(changed: dict[str, Tensor]) -> Tensor:
            twin, given = EagerTwin(changed, len(ELEMENTS)), arguments(model, graph, graph.vectors, pairs)
            forces = twin.direct_forces(*given) if model.config.direct_forces else torch.zeros(0, 3)
            return torch.cat([twin.atom_energies(*given), forces.flatten()])

        expected = outputs(weights)
        # the bias of the energies is subtracted with those of isolated atoms, and edges have a bias in the paper only
        idle = {"readout.out.bias", "embedding.edge_bias"} if model.config.smooth else {"layers.0.constant"}
        idle |= {name for name, value in weights.items() if value.numel() == 0} | {"n_layers", "envelope_power"}
        idle |= {"sigmoid_scale", "norm_eps"} if model.config.l_max == 0 else set()
        idle |= {"norm_divides"} | ({"norm_eps"} if model.config.norm == "none" else set())
        idle |= {"sigmoid_attention"} if model.config.attention == "softmax" else set()
        for name in weights.keys() - idle:
            found = outputs(weights | {name: 1.001 * weights[name]})
            assert float((found - expected).abs().max()) > 1e-9, name


class TestRecordOfWeights:
    def test_archive_gives_the_same_weights_and_tables(self, model, tmp_path):
        """The tables are made in C++, by other loops."""
        network = deployable(model, torch.float64, 33)
        save_network(network, make_label(model, torch.float64, "test", {}), tmp_path / "a.tdn.pt")
        species = [0, 2]
        expected = network.fused_weights(torch.tensor([0, 2, 6, 8]))
        found = weights_in_archive(tmp_path / "a.tdn.pt", species)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert value.dtype == torch.float64
            assert value.is_contiguous()
            assert not value.requires_grad
            limit = 1e-12 * float(value.abs().max()) if name.endswith("table") else 0.0
            torch.testing.assert_close(found[name], value, rtol=0.0, atol=limit)

    def test_names_are_those_of_the_schema(self, model, tmp_path):
        """What deploy writes is what the engine reads, which refuses any weight it did not read."""
        names = archive_weights(deployable(model, torch.float64, 33)).keys()
        assert all(schema.is_weight(name) for name in names)
        save_network(
            deployable(model, torch.float64, 33), make_label(model, torch.float64, "test", {}), tmp_path / "a.tdn.pt"
        )
        assert read_label(tmp_path / "a.tdn.pt")[schema.WEIGHT_NAMES] == sorted(names)
        if model.config.l_max <= 3:  # others have no kernels
            assert _core.Evaluator(str(tmp_path / "a.tdn.pt"), engine="fused").engine.startswith("fused")

    def test_only_the_pairs_asked_for(self, model):
        network = deployable(model, torch.float64, 33)
        every, some = network.fused_weights(torch.arange(9)), network.fused_weights(torch.tensor([7, 2]))
        assert every.keys() == some.keys()
        for name, value in some.items():
            wanted = every[name]
            if name.endswith(("table", "reach")):
                wanted = wanted[[7, 2]] if model.config.smooth else wanted
            if name.endswith("table"):
                assert wanted.shape == (2 if model.config.smooth else 1, *table_shape(model.config, name))
            torch.testing.assert_close(value, wanted, rtol=1e-13, atol=1e-13)

    def test_shapes(self, model):
        config, weights = model.config, deployable(model, torch.float64, 33).fused_weights(torch.tensor([4]))
        c, d, h, n = config.n_channels, config.n_components, config.n_heads, config.n_elements
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        assert shapes["coupling"] == (d, d, d)
        assert (shapes["embedding.elements"], shapes["embedding.edge_bias"]) == ((n, c), (c,))
        assert (shapes["layers.0.edge.weight"], shapes["layers.0.edge.bias"]) == ((3 * c, c), (3 * c,))
        assert shapes["layers.0.constant"] == ((h,) if config.smooth else (0,))
        assert (shapes["layers.0.norm.weight"], shapes["layers.0.query"]) == ((config.l_max + 1, c), (h, c // h))
        assert shapes["layers.0.feed_forward.in.weight"] == (2 * c, c)
        assert (shapes["readout.norm.weight"], shapes["readout.out.bias"]) == ((c,), ())
        assert ("force_head.project" in shapes) == config.direct_forces
        assert not any(name.startswith("force_head.out") for name in shapes)
        assert float(weights["envelope_power"]) == (config.envelope_power if config.smooth else 0)
        assert (float(weights["cutoff"]), float(weights["n_layers"])) == (config.cutoff, config.n_layers)


def weights_in_archive(path: Path, species: list[int]) -> dict[str, Tensor]:
    """As the fused engine reads them."""
    return {name: torch.from_numpy(value) for name, value in _core.fused_weights(path.read_bytes(), species).items()}


@pytest.mark.parametrize("name", ["l2", "paper"])
def test_float32_archive_in_float64(name: str, tmp_path: Path):
    """Its weights, rounded once, evaluated in float64: as close to the model as float32 can be."""
    model = make_model(**MODELS[name])
    write_archive(model, tmp_path / "a.tdn.pt", torch.float32)
    archive, graph = DeployedModel(tmp_path / "a.tdn.pt"), cluster(model)
    pairs = torch.arange(len(ELEMENTS) ** 2)
    twin = EagerTwin(weights_in_archive(archive.path, list(range(len(ELEMENTS)))), len(ELEMENTS))
    rounded = model.in_dtype(torch.float32).in_dtype(torch.float64)
    expected = rounded(graph, forces="gradient").atom_energies
    found = twin.atom_energies(*arguments(model, graph, graph.vectors, pairs))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-5)
    module_energies = archive(graph.to(dtype=torch.float32), forces="gradient").atom_energies
    torch.testing.assert_close(found, module_energies, rtol=0.0, atol=1e-4)
