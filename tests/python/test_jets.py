"""First and second derivatives of radial bases and networks: explicit formulas against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from derivatives import automatic_jets
from torch import Tensor, nn

from tdn.architectures import default_dtype
from tdn.deployment.jets import BesselJets, GaussianJets, RadialJets, layer_norm_jets, silu_jets
from tdn.model.radial import BesselBasis, GaussianBasis, PairEmbedding, RadialNetwork

CUTOFF = 4.3
DISTANCES = torch.linspace(0.2, CUTOFF, 60, dtype=torch.float64)


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(0)
    with default_dtype("float64"):
        yield


def randomized(module: nn.Module) -> nn.Module:
    """Weights of order one everywhere, also where they start as zeros or ones."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.requires_grad_(False)


def assert_jets(found: Tensor, expected: Tensor):
    """Each order within 1e-10 of its largest value, which is not zero."""
    assert found.shape == expected.shape
    for order in range(3):
        size = float(expected[order].abs().max())
        assert size > 1e-3
        assert float((found[order] - expected[order]).abs().max()) <= 1e-10 * size, order


def bases() -> list[nn.Module]:
    return [BesselBasis(8, CUTOFF), randomized(GaussianBasis(12, CUTOFF))]


@pytest.mark.parametrize("wrapper", [BesselJets, GaussianJets])
def test_basis(wrapper):
    basis = next(b for b in bases() if wrapper.__name__.startswith(type(b).__name__.removesuffix("Basis")))
    assert_jets(wrapper(basis).jets(DISTANCES), automatic_jets(basis, DISTANCES))
    assert torch.equal(wrapper(basis)(DISTANCES), basis(DISTANCES))


def test_bessel_basis_near_the_origin():
    """The basis is a smooth even function: a (1 - (a r)^2 / 6) to fourth order; the formulas cancel there."""
    r = torch.tensor([0.002])
    a = torch.arange(1, 5) * (torch.pi / CUTOFF)
    value, first, second = BesselJets(BesselBasis(4, CUTOFF)).jets(r)[:, 0] / 2**0.5
    torch.testing.assert_close(value, a - a**3 * r**2 / 6, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(first, -(a**3) * r / 3, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(second, -(a**3) / 3, rtol=1e-4, atol=0.0)


def test_silu_and_layer_norm():
    amplitude, phase = 2.0 * torch.randn(6), torch.randn(6)

    def inner(r: Tensor) -> Tensor:
        return amplitude * torch.sin(r.unsqueeze(-1) + phase) + phase

    jets = automatic_jets(inner, DISTANCES)
    weight, bias = torch.randn(6), torch.randn(6)
    normed = automatic_jets(lambda r: nn.functional.layer_norm(inner(r), [6], weight, bias, 1e-5), DISTANCES)
    assert_jets(silu_jets(jets), automatic_jets(lambda r: nn.functional.silu(inner(r)), DISTANCES))
    assert_jets(layer_norm_jets(jets, weight, bias, 1e-5), normed)


@pytest.mark.parametrize("normed", [True, False], ids=["normed", "bare"])
@pytest.mark.parametrize("per_pair", [True, False], ids=["pair", "sum"])
@pytest.mark.parametrize("basis", bases(), ids=["bessel", "gaussian"])
def test_network_of_each_pair(basis, per_pair, normed):
    basis = basis.double()
    n_radial = basis(DISTANCES).size(1)
    network = randomized(RadialNetwork(n_radial, (10, 12), 5, PairEmbedding(3, 10, per_pair), normed))
    with_jets = BesselJets(basis) if isinstance(basis, BesselBasis) else GaussianJets(basis)
    pairs = torch.tensor([7, 0, 5])
    found = RadialJets(network).jets(with_jets.jets(DISTANCES), pairs)
    assert found.shape == (3, 3, len(DISTANCES), 5)
    for slot, pair in enumerate(pairs):
        repeated = pair.expand(len(DISTANCES))
        assert_jets(found[:, slot], automatic_jets(lambda r, pair=repeated: network(basis(r), pair), DISTANCES))


def test_network_blind_to_the_elements_gives_one_pair():
    basis = randomized(GaussianBasis(12, CUTOFF))
    network = randomized(RadialNetwork(12, (10, 12), 5, None))
    pairs = torch.tensor([3, 1, 2])
    found = RadialJets(network).jets(GaussianJets(basis).jets(DISTANCES), pairs)
    assert_jets(found[:, 0], automatic_jets(lambda r: network(basis(r), pairs), DISTANCES))
    assert found.size(1) == 1
