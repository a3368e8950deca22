"""CP factors of the coupling tensor: exact at the known ranks, best effort below, refused where impossible."""

import pytest
import torch

from tdn.algebra import cp_decomposition, cp_fit
from tdn.algebra.clebsch_gordan import coupling_tensor
from tdn.algebra.cp_decomposition import EXACT_RANKS, cp_factors
from tdn.errors import TDNError

KNOWN_RANKS = [("so3", 1, 8), ("so3", 2, 30), ("so3", 3, 90), ("o3", 1, 6), ("o3", 2, 18), ("o3", 3, 52)]


@pytest.mark.parametrize(("paths", "l_max", "rank"), KNOWN_RANKS)
def test_exact_at_known_ranks(paths, l_max, rank):
    factors = cp_factors(l_max, rank, paths)
    exact = coupling_tensor(l_max, paths, "none")
    assert factors.first.shape == factors.second.shape == factors.output.shape == ((l_max + 1) ** 2, rank)
    assert (factors.tensor() - exact).norm() < 1e-12 * exact.norm()
    assert factors.relative_error < 1e-12
    assert factors.largest_entry < 3


@pytest.mark.parametrize(("paths", "l_max", "rank"), [*(c for c in KNOWN_RANKS if c[1] < 3), ("so3", 2, 28)])
def test_exact_when_fitted_afresh(paths, l_max, rank):
    factors = cp_decomposition.fit_coupling(l_max, rank, paths)
    assert cp_fit.relative_error(coupling_tensor(l_max, paths, "none"), factors) < 1e-12


@pytest.mark.parametrize("paths", ["o3", "so3"])
@pytest.mark.parametrize("l_max", range(4))
def test_no_rank_means_the_shipped_exact_one(paths, l_max):
    factors = cp_factors(l_max, paths=paths)
    assert factors.rank == EXACT_RANKS[paths][l_max]
    assert factors.relative_error < 1e-12
    assert cp_decomposition.cache_key(l_max, factors.rank, paths) in cp_decomposition.read_cache()


def test_rank_of_the_paper_is_exact_at_degree_two():
    """7 l_max^2 = 28 terms suffice for all SO(3) paths at l_max 2, and more than suffice for O(3)."""
    assert cp_factors(2, 28, "so3").relative_error < 1e-12
    assert cp_factors(2, 28, "o3").relative_error < 1e-12


def test_one_term_less_is_the_known_optimum_at_degree_one():
    """At rank 7 the error has an infimum of 0.0156 that is approached while the factors grow."""
    error = cp_factors(1, 7, "so3").relative_error
    assert 0.015 < error < 0.017


def test_errors_fall_with_the_rank_and_extra_terms_are_zero():
    errors = [cp_factors(1, rank).relative_error for rank in (1, 2, 4, 6, 9)]
    assert errors[:4] == sorted(errors[:4], reverse=True)
    assert errors[4] < 1e-12
    assert cp_factors(1, 9).first[:, 6:].abs().max() == 0


def test_factors_are_balanced_and_the_fit_repeats_itself():
    target = coupling_tensor(1, "so3", "none")
    fits = [cp_fit.fit(target, cp_fit.tied_columns(7, "free"), seed=2, max_iterations=30) for _ in range(2)]
    assert torch.equal(fits[0][0], fits[1][0])
    norms = fits[0][0].norm(dim=1)
    assert (norms - norms[0]).abs().max() < 1e-12 * norms.max()


@pytest.mark.parametrize("tie", ["free", "symmetric", "cyclic"])
def test_normal_equations_are_those_of_the_jacobian(tie):
    target = coupling_tensor(1, "o3", "none")
    columns = cp_fit.tied_columns(7, tie, n_cubes=4)
    parameters = torch.randn(4, int(columns.max()) + 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def compose(p: torch.Tensor) -> torch.Tensor:
        return cp_fit.compose(p[:, columns].transpose(0, 1)).flatten()

    jacobian = torch.autograd.functional.jacobian(compose, parameters).flatten(1)
    residual = target - compose(parameters).view_as(target)
    normal, gradient = cp_fit.normal_equations(residual, parameters, columns)
    assert (normal.view(2 * [parameters.numel()]) - jacobian.t() @ jacobian).abs().max() < 1e-11
    assert (gradient.flatten() - jacobian.t() @ residual.flatten()).abs().max() < 1e-11


def test_callers_cannot_spoil_the_cache():
    cp_factors(1).first.zero_()
    assert cp_factors(1).relative_error < 1e-12
    assert cp_factors(1).first.abs().max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l_max": 1, "rank": 0}, "CP rank is 0; give a whole number"),
        ({"l_max": -1}, "l_max is -1; give 0 or a positive degree"),
        ({"l_max": 4}, "no exact CP rank is known for l_max = 4; give a rank"),
        ({"l_max": 1, "paths": "su2"}, "paths is 'su2'; use one of o3, so3"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(TDNError, match=message):
        cp_factors(**arguments)
