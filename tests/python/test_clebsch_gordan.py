"""Coupling coefficients against e3nn, an independent implementation."""

import itertools

import pytest
import torch
from e3nn import o3

from tdn.algebra.clebsch_gordan import admissible_paths, coupling_tensor, degree_slice, wigner_3j

ADMISSIBLE = [(a, b, c) for a, b, c in itertools.product(range(5), repeat=3) if abs(a - b) <= c <= a + b]


@pytest.mark.parametrize("degrees", ADMISSIBLE, ids=lambda d: "x".join(map(str, d)))
def test_wigner_3j_is_that_of_e3nn_with_its_sign(degrees):
    expected = o3.wigner_3j(*degrees, dtype=torch.float64)
    assert (wigner_3j(*degrees) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("degrees", [(0, 0, 1), (1, 1, 3), (4, 1, 2)])
def test_degrees_that_do_not_couple_are_refused(degrees):
    with pytest.raises(ValueError, match="violates"):
        wigner_3j(*degrees)


@pytest.mark.parametrize(("l_max", "paths", "count"), [(1, "so3", 5), (2, "so3", 15), (3, "so3", 34), (4, "so3", 65)])
def test_number_of_paths_and_norm(l_max, paths, count):
    assert len(admissible_paths(l_max, paths)) == count
    assert coupling_tensor(l_max, paths, "none").square().sum() == pytest.approx(count, abs=1e-11)


@pytest.mark.parametrize("paths", ["o3", "so3"])
@pytest.mark.parametrize("l_max", [1, 2, 3, 4])
def test_blocks_are_the_admissible_paths_only(l_max, paths):
    tensor = coupling_tensor(l_max, paths, "none")
    for l1, l2, l3 in itertools.product(range(l_max + 1), repeat=3):
        block = tensor[degree_slice(l3), degree_slice(l1), degree_slice(l2)]
        couples = abs(l1 - l2) <= l3 <= l1 + l2 and (paths == "so3" or (l1 + l2 + l3) % 2 == 0)
        expected = (
            o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 0, 1) if couples else torch.zeros_like(block)
        )
        assert (block - expected).abs().max() < 1e-12


@pytest.mark.parametrize("paths", ["o3", "so3"])
@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_component_normalization_gives_unit_variance(l_max, paths):
    tensor = coupling_tensor(l_max, paths, "component")
    variance_of_output = tensor.square().sum((1, 2))  # for independent operands of unit variance
    assert (variance_of_output - 1).abs().max() < 1e-12


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_o3_paths_do_not_change_under_exchange_and_so3_paths_under_cycling(l_max):
    even, every = coupling_tensor(l_max, "o3", "none"), coupling_tensor(l_max, "so3", "none")
    for order in itertools.permutations(range(3)):
        assert (even - even.permute(order)).abs().max() < 1e-14
    assert (every - every.permute(1, 2, 0)).abs().max() < 1e-14
    assert (every - every.permute(0, 2, 1)).abs().max() > 0.1


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="'o2'"):
        coupling_tensor(1, "o2", "none")
    with pytest.raises(ValueError, match="'norm'"):
        coupling_tensor(1, "o3", "norm")
