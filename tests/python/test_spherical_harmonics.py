"""Spherical harmonics against e3nn, an independent implementation."""

import pytest
import torch
from e3nn import o3
from rotations import component_rotation, random_rotation, unit_vectors

from tdn.algebra.clebsch_gordan import degree_slice
from tdn.algebra.spherical_harmonics import spherical_harmonics


@pytest.mark.parametrize("l_max", range(5))
def test_values_are_those_of_e3nn(l_max):
    axes = torch.cat([torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64)])
    vectors = torch.cat([unit_vectors(200), axes])
    expected = o3.spherical_harmonics(list(range(l_max + 1)), vectors, normalize=False, normalization="component")
    assert (spherical_harmonics(vectors, l_max) - expected).abs().max() < 1e-12


def test_component_normalization():
    values = spherical_harmonics(unit_vectors(20), 4)
    for degree in range(5):
        squares = values[:, degree_slice(degree)].square().sum(1)
        assert (squares - (2 * degree + 1)).abs().max() < 1e-12


def test_rotation_acts_by_orthogonal_matrices():
    rotation = random_rotation(seed=1)
    vectors = unit_vectors(20)
    representation = component_rotation(rotation, 4)
    assert (representation @ representation.t() - torch.eye(25)).abs().max() < 1e-12
    rotated = spherical_harmonics(vectors @ rotation.t(), 4)
    assert (rotated - spherical_harmonics(vectors, 4) @ representation.t()).abs().max() < 1e-12


def test_parity():
    signs = torch.tensor([(-1.0) ** degree for degree in range(5) for _ in range(2 * degree + 1)])
    vectors = unit_vectors(20)
    assert (spherical_harmonics(-vectors, 4) - signs * spherical_harmonics(vectors, 4)).abs().max() < 1e-14


def test_gradients():
    vectors = unit_vectors(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: spherical_harmonics(v, 4), vectors)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.float64, 0.0)])
def test_dtype_is_kept_and_script_gives_the_same(dtype, tolerance):
    vectors = unit_vectors(50).to(dtype)
    values = spherical_harmonics(vectors, 4)
    assert values.dtype == dtype
    assert (torch.jit.script(spherical_harmonics)(vectors, 4) - values).abs().max() <= 1e-6 * (dtype == torch.float32)
    exact = spherical_harmonics(vectors.double(), 4)
    assert (values - exact).abs().max() <= tolerance


def test_no_vectors():
    assert spherical_harmonics(torch.zeros(0, 3), 2).shape == (0, 9)
