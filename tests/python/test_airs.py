"""Checkpoints of the published code: every intermediate and result of its own float64 runs is met."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest
import torch
from tolerances import PUBLISHED

from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.interop import load_airs
from tdn.interop.airs import plain_name, read_state

TAGS = ("tdn_C32_L1_N2", "tdn_C128_L1_N4")


def published(folder, tag: str):
    """Stored arrays, their graph with edges sorted by center, and the order of the edges."""
    arrays = np.load(folder / "official-tdn" / f"{tag}.io.npz")
    center, neighbor = torch.from_numpy(arrays["edge_dst"]), torch.from_numpy(arrays["edge_src"])
    order = torch.argsort(center, stable=True)
    positions = torch.from_numpy(arrays["pos"])
    vectors = positions[neighbor] - positions[center]
    species = torch.from_numpy(arrays["Z"]) - 1
    graph = Graph(species, center[order], neighbor[order], vectors[order], torch.from_numpy(arrays["batch"]), 8)
    return arrays, graph, order


def assert_same(found: torch.Tensor, expected: np.ndarray) -> None:
    """Largest difference relative to the largest value."""
    expected = torch.from_numpy(expected).reshape(found.shape)
    assert (found - expected).abs().max() <= PUBLISHED * expected.abs().max()


@pytest.fixture(scope="module", params=TAGS)
def case(request, shared_data):
    arrays, graph, order = published(shared_data, request.param)
    return load_airs(shared_data / "official-tdn" / f"{request.param}.state_dict.pt"), arrays, graph, order


def test_energies_and_both_kinds_of_forces(case):
    model, arrays, graph, _ = case
    prediction = model(graph, forces="both")
    assert_same(prediction.energy, arrays["energy"])
    assert_same(prediction.direct_forces, arrays["forces_direct"])
    assert_same(prediction.gradient_forces, arrays["forces_gradient"])
    assert model.energy_convention == "per_atom"
    assert torch.equal(model(graph).forces, prediction.direct_forces)


def test_every_intermediate(case):
    model, arrays, graph, order = case
    network = model.network
    with torch.no_grad():
        pair = model.pair_index(graph)
        features = network.edge_features(graph.vectors, pair)
        assert_same(features[1], arrays["i_rbf"][order.numpy()])
        x = network.embed(graph.species, graph.center, pair, features)
        elements = network.embedding.elements[graph.species]
        assert_same(elements, arrays["i_atom_embed"][:, 0])
        assert_same(x - torch.nn.functional.pad(elements.unsqueeze(1), (0, 0, 0, 3)), arrays["i_degree_embed"])
        normed = network.layers[0].attention_norm(x)
        assert_same(normed, arrays["i_block0_norm1"])
        edges = (graph.center, graph.neighbor, pair, features)
        attention = network.layers[0].attention
        assert_same(attention.receive(normed, attention.send(normed), *edges), arrays["i_block0_attn"])
        for k, layer in enumerate(network.layers):
            x = layer.update(x, layer.send(x), *edges)
            assert_same(x, arrays[f"i_block{k}"])
        assert_same(network.norm(x), arrays["i_final_norm"])
        assert_same(network.head(x), arrays["i_head_node"][:, 0, 0])


def test_first_tensor_product(case):
    model, arrays, graph, order = case
    first = torch.argsort(order)[:64]  # where the published code's first 64 edges are now
    attention = model.network.layers[0].attention
    with torch.no_grad():
        features = model.network.edge_features(graph.vectors[first], model.pair_index(graph)[first])
        weight = attention.radial(features[1], model.pair_index(graph)[first])
        assert_same(weight, arrays["i_block0_tp1_w_first64"])
        message = torch.from_numpy(arrays["i_block0_tp1_in_first64"])
        assert_same(attention.product(features[0], message, weight), arrays["i_block0_tp1_out_first64"])


@pytest.fixture
def state(shared_data):
    return torch.load(shared_data / "official-tdn" / f"{TAGS[0]}.state_dict.pt", weights_only=True)


def test_prefixes_and_dictionaries_of_training_runs(state, tmp_path, shared_data):
    """DDP's and torch.compile's prefixes, and the dictionary that the training loop writes."""
    renamed = {f"module.{k}".replace("blocks.0.", "blocks.0._orig_mod."): v for k, v in state.items()}
    torch.save({"epoch": 3, "model_state_dict": renamed, "optimizer_state_dict": {}}, tmp_path / "run.pth")
    _, graph, _ = published(shared_data, TAGS[0])
    expected = load_airs(shared_data / "official-tdn" / f"{TAGS[0]}.state_dict.pt")(graph).energy
    assert torch.equal(load_airs(tmp_path / "run.pth")(graph).energy, expected)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_in_any_order(prefix):
    assert plain_name(f"{prefix}blocks.0.norm1.affine_weight") == "blocks.0.norm1.affine_weight"
    assert plain_name(f"{prefix}blocks.0._orig_mod.rad.offset") == "blocks.0.rad.offset"


def module_of(keys: dict[str, list[int]]) -> torch.nn.Module:
    """Module with these names and shapes: CP factors as buffers, everything else as parameters, in float32."""
    root = torch.nn.Module()
    for number, (key, shape) in enumerate(keys.items()):
        *path, name = key.split(".")
        parent = root
        for part in path:
            if not hasattr(parent, part):
                parent.add_module(part, torch.nn.Module())
            parent = getattr(parent, part)
        value = torch.full(shape, 1.0 + number)
        if name in ("cp_a", "cp_b", "cp_c"):
            parent.register_buffer(name, value)
        else:
            parent.register_parameter(name, torch.nn.Parameter(value))
    return root


def test_averages_come_in_the_order_of_a_module(state, shared_data, tmp_path):
    """named_parameters, from which the published code builds its averages, against the names of the state dict."""
    keys = json.loads((shared_data / "official-tdn" / f"{TAGS[0]}.keys.json").read_text())
    assert list(keys) == list(state)
    module = module_of(keys)
    assert list(module.state_dict()) == list(keys)
    shadow = [parameter.detach() for _, parameter in module.named_parameters()]
    torch.save({"model_state_dict": state, "ema_state_dict": {"shadow_params": shadow}}, tmp_path / "ema.pth")
    loaded = read_state(tmp_path / "ema.pth")
    for name, parameter in module.named_parameters():
        assert torch.equal(loaded[name], parameter), name


def test_single_precision_file_of_a_training_loop(state, tmp_path):
    """Optimizer, scheduler and a loss in numpy's type lie beside the weights."""
    single = {name: value.float() for name, value in state.items()}
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min")
    weight.sum().backward()
    optimizer.step()
    scheduler.step(np.float64(0.5))
    content = {
        "epoch": np.int64(3),
        "model_state_dict": single,
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "loss": np.float64(0.25),
        "best": np.float32(0.5),
    }
    torch.save(content, tmp_path / "run.pth")
    model = load_airs(tmp_path / "run.pth")
    assert model.dtype == torch.float32
    assert torch.equal(model.network.head_out.weight, single["head.2.linear.weight"])


def test_averaged_weights_are_used(state, tmp_path):
    factors = ("cp_a", "cp_b", "cp_c")
    shadow = [2 * v for k, v in state.items() if k.rsplit(".", 1)[-1] not in factors]
    content = {"model_state_dict": state, "ema_state_dict": {"decay": 0.995, "shadow_params": shadow}}
    torch.save(content, tmp_path / "ema.pth")
    model = load_airs(tmp_path / "ema.pth")
    torch.testing.assert_close(model.network.head_out.weight, 2 * state["head.2.linear.weight"])
    assert torch.equal(model.network.geometry.coupling.first, state["edge_embed.tp.cp_tp.cp_a"])
    content["ema_state_dict"]["shadow_params"] = shadow[:-1]
    torch.save(content, tmp_path / "short.pth")
    with pytest.raises(TDNError, match=r"averaged tensors .* do not fit"):
        load_airs(tmp_path / "short.pth")


def test_gradient_models_leave_the_untrained_force_head_out(shared_data):
    model = load_airs(shared_data / "official-tdn" / f"{TAGS[0]}.state_dict.pt", forces="gradient")
    assert model.network.force_head is None
    arrays, graph, _ = published(shared_data, TAGS[0])
    assert_same(model(graph).forces, arrays["forces_gradient"])


def test_atoms_without_neighbors_have_no_energy(shared_data):
    """The published code drops them from the graph."""
    model = load_airs(shared_data / "official-tdn" / f"{TAGS[0]}.state_dict.pt")
    none = torch.zeros(0, dtype=torch.int64)
    graph = Graph(torch.tensor([0, 7]), none, none, torch.zeros(0, 3, dtype=torch.float64), torch.zeros(2).long())
    prediction = model(graph, forces="both")
    assert prediction.energy.item() == 0.0
    assert not prediction.direct_forces.any() and not prediction.gradient_forces.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_state_dict": None}, "model_state_dict of .* is a NoneType, not a dictionary; give"),
        ({"model_state_dict": [1]}, "model_state_dict of .* is a list, not a dictionary; give"),
        ({"ema_state_dict": {"decay": 0.9}}, r"the 0 averaged tensors .* do not fit its \d+ parameters; remove"),
        ({"ema_state_dict": {"shadow_params": None}}, "the 0 averaged tensors .* do not fit"),
        ({"ema_state_dict": [1]}, "the 0 averaged tensors .* do not fit"),
        ({"other": timedelta(1)}, r"\(it holds a Python object datetime\.timedelta, not only tensors .*\); give"),
    ],
)
def test_bad_dictionaries(state, tmp_path, changes, message):
    torch.save({"model_state_dict": state, **changes}, tmp_path / "bad.pth")
    with pytest.raises(TDNError, match=message):
        load_airs(tmp_path / "bad.pth")


def test_bad_files(state, tmp_path):
    with pytest.raises(TDNError, match="does not exist"):
        load_airs(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(TDNError, match="cannot be read as a checkpoint"):
        load_airs(tmp_path / "text.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(TDNError, match="does not hold the tensors of the published TDN model"):
        load_airs(tmp_path / "other.pth")
    del state["blocks.1.attn.proj.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(TDNError, match=r"lacks tensor 'blocks\.1\.attn\.proj\.bias'"):
        load_airs(tmp_path / "part.pth")
    with pytest.raises(TDNError, match="use 'direct' or 'gradient'"):
        load_airs(tmp_path / "part.pth", forces="both")
