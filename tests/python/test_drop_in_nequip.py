"""A small NequIP-like network written for e3nn's products, with CPTensorProduct swapped in.

The network keeps e3nn's flat feature layout and talks to its products through two factories, so that the swap is the
one a user of e3nn would make. The self-product stands for FullyConnectedTensorProduct, the convolution for
TensorProduct with ``uvu`` instructions and weights from a radial network.
"""

import pytest
import torch
from e3nn import o3
from rotations import random_rotation
from torch import nn

from tdn.algebra.clebsch_gordan import admissible_paths
from tdn.algebra.tensor_product import CPTensorProduct, components_to_irreps, irreps_to_components

L_MAX, CHANNELS, CUTOFF = 2, 4, 4.0
FEATURES = o3.Irreps([(CHANNELS, (degree, (-1) ** degree)) for degree in range(L_MAX + 1)])
HARMONICS = o3.Irreps.spherical_harmonics(L_MAX)


def e3nn_convolution() -> nn.Module:
    instructions = [(*path, "uvu", True) for path in admissible_paths(L_MAX, "o3")]
    return o3.TensorProduct(FEATURES, HARMONICS, FEATURES, instructions, shared_weights=False, internal_weights=False)


def e3nn_self_product() -> nn.Module:
    return o3.FullyConnectedTensorProduct(FEATURES, FEATURES, FEATURES)


class SwappedProduct(nn.Module):
    """CPTensorProduct behind e3nn's layout; equal multiplicities make the two differ by a reordering only."""

    def __init__(self, product: CPTensorProduct) -> None:
        super().__init__()
        self.product = product
        self.weight_numel = product.weight_numel

    def forward(self, first, second, weight=None):
        first = irreps_to_components(first, self.product.n_first)
        second = irreps_to_components(second, self.product.n_second)
        return components_to_irreps(self.product(first, second, weight))


def swapped(form: str):
    convolution = CPTensorProduct(L_MAX, CHANNELS, 1, mode="uvu", form=form)
    self_product = CPTensorProduct(L_MAX, CHANNELS, CHANNELS, CHANNELS, mode="uvw", form=form, internal_weights=True)
    return SwappedProduct(convolution), SwappedProduct(self_product)


def products(kind: str) -> tuple[nn.Module, nn.Module]:
    return (e3nn_convolution(), e3nn_self_product()) if kind == "e3nn" else swapped(kind)


class SmallNetwork(nn.Module):
    """Embedding, two convolutions with a self-product each, scalar readout; energy of one molecule."""

    def __init__(self, kind: str, n_layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, CHANNELS)
        layers = [products(kind) for _ in range(n_layers)]
        self.convolutions = nn.ModuleList(layer[0] for layer in layers)
        self.self_products = nn.ModuleList(layer[1] for layer in layers)
        numel = self.convolutions[0].weight_numel
        self.radial = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, numel)) for _ in range(n_layers)
        )
        self.readout = nn.Linear(CHANNELS, 1)

    def forward(self, species: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        centers, neighbors = (torch.cdist(positions, positions) + 9 * torch.eye(len(positions)) < CUTOFF).nonzero().t()
        vectors = positions[neighbors] - positions[centers]
        lengths = vectors.norm(dim=1, keepdim=True)
        harmonics = o3.spherical_harmonics(HARMONICS, vectors, normalize=True, normalization="component")
        basis = torch.sin(torch.arange(1, 9) * torch.pi * lengths / CUTOFF) / lengths * (1 - lengths / CUTOFF) ** 2
        x = nn.functional.pad(self.embedding(species), (0, FEATURES.dim - CHANNELS))
        for convolution, self_product, radial in zip(self.convolutions, self.self_products, self.radial, strict=True):
            messages = convolution(x[neighbors], harmonics, radial(basis))
            x = x + torch.zeros_like(x).index_add(0, centers, messages) / 4
            x = x + self_product(x, x) / 4
        return self.readout(x[:, :CHANNELS]).sum()


@pytest.fixture(params=["e3nn", "exact", "cp"])
def network(request):
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)  # before e3nn makes its coefficients
    yield SmallNetwork(request.param)
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def molecule() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.tensor([0, 1, 1, 0, 1, 1]), 1.5 * torch.randn(6, 3, generator=generator, dtype=torch.float64)


def test_energy_is_invariant(network, molecule):
    species, positions = molecule
    energy = network(species, positions)
    moved = positions @ random_rotation(1).t() + torch.tensor([1.0, -2.0, 0.5])
    assert abs(network(species, moved) - energy) < 1e-10 * abs(energy)
    assert abs(network(species, -positions) - energy) < 1e-10 * abs(energy)  # o3 paths: parity too
    distorted = positions + 0.05 * torch.arange(6.0)[:, None]
    assert abs(network(species, distorted) - energy) > 1e-4 * abs(energy)


def test_one_step_of_training_lowers_the_loss(network, molecule):
    species, positions = molecule
    positions = positions.clone().requires_grad_()

    def loss() -> torch.Tensor:
        energy = network(species, positions)
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
        return (energy - 1.0) ** 2 + gradient.square().mean()

    before = loss()
    before.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    torch.optim.SGD(network.parameters(), lr=1e-3 / float(before.detach())).step()
    assert loss() < before
