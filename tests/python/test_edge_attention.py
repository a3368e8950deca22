"""The operators ``tdn::edge_attention`` and ``edge_attention_vjp`` against the eager twin and finite differences."""

from __future__ import annotations

import pytest
import torch
from test_fused_twin import make_model
from torch import Tensor

from tdn.deployment.fused import EagerTwin
from tdn.deployment.rewrite import deployable
from tdn.deployment.verify import random_graph
from tdn.errors import TDNError
from tdn.ops import load_library

N_KNOTS = 33
CONSTANTS = (
    *("coupling", "cutoff", "envelope_power", "norm_eps", "norm_divides"),
    *("silu_scale", "sigmoid_scale", "sigmoid_attention"),
)
MODELS = {
    "l0": {"l_max": 0, "n_channels": 8},
    "l1": {"l_max": 1, "n_channels": 16, "n_heads": 4},
    "l2 so3": {"l_max": 2, "paths": "so3", "n_channels": 12, "n_heads": 3},
    "l3": {"l_max": 3, "n_channels": 6, "n_heads": 1},
    "l1 separate": {"l_max": 1, "n_channels": 12, "n_heads": 3, "path_weights": "separate"},
    "l2 separate": {"l_max": 2, "n_channels": 16, "n_heads": 4, "path_weights": "separate"},
    "l1 softmax": {"l_max": 1, "n_channels": 16, "n_heads": 4, "attention": "softmax"},
    "l2 softmax": {"l_max": 2, "n_channels": 12, "n_heads": 3, "attention": "softmax"},
    "l2 separate softmax": {"l_max": 2, "n_channels": 16, "path_weights": "separate", "attention": "softmax"},
    "many heads": {"l_max": 1, "n_channels": 20, "n_heads": 20},
    "many heads softmax": {"l_max": 1, "n_channels": 20, "n_heads": 20, "attention": "softmax"},
    "paper": {"setting": "paper", "n_channels": 8, "n_heads": 2},
}


class Layer:
    """One layer's edge work on a random cluster: operands, and the twin that does the same."""

    def __init__(self, options: dict) -> None:
        load_library()
        model = make_model(**({"n_layers": 1} | options))
        n_elements = len(model.elements)
        with torch.no_grad():
            weights = deployable(model, torch.float64, N_KNOTS).fused_weights(torch.arange(n_elements**2))
        self.twin = EagerTwin(weights, n_elements)
        graph = random_graph(model, 9, 3)
        pair = graph.species[graph.center] * n_elements + graph.species[graph.neighbor]
        self.slot = pair if weights["layers.0.table"].size(0) > 1 else torch.zeros_like(pair)
        self.center, self.neighbor, self.vectors = graph.center, graph.neighbor, graph.vectors
        self.first = torch.searchsorted(graph.center, torch.arange(10))
        names = ("table", "edge.weight", "edge.bias", "query", "constant")
        self.weights = {name: weights[name] for name in CONSTANTS}
        self.weights |= {name: weights[f"layers.0.{name}"] for name in names}
        d, channels = weights["coupling"].size(0), weights["layers.0.query"].numel()
        torch.manual_seed(5)
        self.rows, self.at_center = (torch.randn(9, d, channels, dtype=torch.float64) for _ in range(2))

    def fused(self, rows: Tensor, at_center: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        edges = self.first, self.neighbor, self.slot
        return torch.ops.tdn.edge_attention(rows, at_center, *edges, vectors, self.weights)

    def eager(self, rows: Tensor, at_center: Tensor, vectors: Tensor) -> Tensor:
        edges = self.twin.edge_features(9, self.center, self.neighbor, self.slot, vectors)
        return self.twin.edge_attention(rows, at_center, edges, "layers.0")

    def operands(self) -> list[Tensor]:
        return [x.clone().requires_grad_() for x in (self.rows, self.at_center, self.vectors)]


@pytest.fixture(scope="module", params=MODELS)
def layer(request) -> Layer:
    return Layer(MODELS[request.param])


def test_value_is_the_eager_one(layer: Layer):
    attended, attention = layer.fused(layer.rows, layer.at_center, layer.vectors)
    expected = layer.eager(layer.rows, layer.at_center, layer.vectors)
    torch.testing.assert_close(attended, expected, rtol=1e-11, atol=1e-12)
    assert attention.shape == (len(layer.center), layer.weights["query"].size(0))
    assert (attention >= 0).all()
    scale = float(layer.weights["sigmoid_attention"])
    sums = torch.zeros(9, attention.size(1), dtype=torch.float64).index_add(0, layer.center, attention)
    assert (attention < scale if scale else sums <= 1 + 1e-12).all()


@pytest.mark.parametrize("kernels", ["reference", ""])
def test_gradients_are_the_eager_ones(layer: Layer, kernels: str, monkeypatch: pytest.MonkeyPatch):
    """Of the kernels with one lane and of the widest ones."""
    monkeypatch.setenv("TDN_KERNELS", kernels)
    seed = torch.randn_like(layer.rows)
    ours, theirs = layer.operands(), layer.operands()
    found = torch.autograd.grad(layer.fused(*ours)[0], ours, seed)
    expected = torch.autograd.grad(layer.eager(*theirs), theirs, seed)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-11 * b.abs().max()


def test_gradients_are_finite_differences(layer: Layer):
    """Along random directions: every number of every operand moves."""
    ours = layer.operands()
    seed = torch.randn_like(layer.rows)
    gradients = torch.autograd.grad(layer.fused(*ours)[0], ours, seed)
    step = 1e-5
    for k, gradient in enumerate(gradients):
        direction = torch.randn_like(ours[k])
        values = []
        for sign in (1, -1):
            moved = [x.detach() + (sign * step * direction if k == other else 0) for other, x in enumerate(ours)]
            values.append((layer.fused(*moved)[0] * seed).sum())
        slope = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-7)


def test_single_precision(layer: Layer):
    expected = layer.eager(layer.rows, layer.at_center, layer.vectors)
    found, _ = layer.fused(*(x.float() for x in (layer.rows, layer.at_center, layer.vectors)))
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_second_derivatives_are_refused():
    layer = Layer(MODELS["l1"])
    operands = layer.operands()
    attended, _ = layer.fused(*operands)
    with pytest.raises(RuntimeError, match="differentiated only once"):
        torch.autograd.grad(attended.sum(), operands, create_graph=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": torch.zeros(3, 3, dtype=torch.float64)}, "needs rows"),
        ({"rows": torch.zeros(9, 4, 16)}, "needs one dtype"),
    ],
)
def test_operands_that_do_not_fit_are_refused(change: dict[str, Tensor], message: str):
    layer = Layer(MODELS["l1"])
    operands = {"rows": layer.rows, "at_center": layer.at_center, "vectors": layer.vectors} | change
    with pytest.raises(RuntimeError, match=message):
        layer.fused(**operands)


def test_missing_weight_is_named():
    layer = Layer(MODELS["l1"])
    del layer.weights["edge.bias"]
    with pytest.raises((RuntimeError, TDNError), match=r"no weight 'edge\.bias'"):
        layer.fused(layer.rows, layer.at_center, layer.vectors)


def test_sigmoids_need_their_constants():
    layer = Layer(MODELS["l1"])
    layer.weights["constant"] = layer.weights["constant"][:0]
    with pytest.raises((RuntimeError, TDNError), match="no values in 'constant'"):
        layer.fused(layer.rows, layer.at_center, layer.vectors)


def test_weights_of_older_archives_mean_softmax_and_norms():
    layer = Layer(MODELS["l1 softmax"])
    expected, _ = layer.fused(layer.rows, layer.at_center, layer.vectors)
    del layer.weights["sigmoid_attention"], layer.weights["norm_divides"]
    assert torch.equal(layer.fused(layer.rows, layer.at_center, layer.vectors)[0], expected)


def test_no_atoms_and_no_edges():
    layer = Layer(MODELS["l1"])
    none = torch.zeros(0, dtype=torch.int64)
    for n in (0, 3):
        rows = layer.rows[:n]
        attended, attention = torch.ops.tdn.edge_attention(
            rows, rows, torch.zeros(n + 1, dtype=torch.int64), none, none, layer.vectors[:0], layer.weights
        )
        assert attended.shape == rows.shape
        assert not attended.any()
        assert attention.shape == (0, 4)


def test_random_model_is_not_trivial():
    """Guards the comparisons: attention is not uniform and the sums are not small."""
    layer = Layer(MODELS["l1"])
    attended, attention = layer.fused(layer.rows, layer.at_center, layer.vectors)
    assert attended.abs().max() > 0.1
    assert attention.std() > 1e-3
