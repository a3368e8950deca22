"""The paper's theorems against measurement, at every rank of docs/theory, and the numbers printed there."""

import re
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from rotations import component_rotation, random_rotation

from tdn.algebra import cp_fit
from tdn.algebra.clebsch_gordan import PATHS, admissible_paths, coupling_tensor
from tdn.algebra.cp_decomposition import EXACT_RANKS

THEORY = Path(__file__).parents[2] / "docs" / "theory"
sys.path.append(str(THEORY))

import complexity  # noqa: E402
import cp_cache  # noqa: E402
import equivariance  # noqa: E402
import orientation  # noqa: E402
import universality  # noqa: E402

DEGREES = [1, 2, 3, 4]
EXACT = 1e-12


@cache
def turns(l_max: int, paths: str) -> list[torch.Tensor]:
    """Matrices of five rotations by e3nn; with parity as a symmetry also of five improper ones."""
    proper = [component_rotation(random_rotation(seed), l_max) for seed in range(5)]
    signs = torch.tensor([(-1.0) ** degree for degree in range(l_max + 1) for _ in range(2 * degree + 1)]).double()
    return proper + ([signs.unsqueeze(1) * turn for turn in proper] if paths == "o3" else [])


def errors(tensor: torch.Tensor, turn: torch.Tensor, n: int = 200) -> torch.Tensor:
    """|T(D x, D y) - D T(x, y)| for n random pairs of length one: (n,)."""
    x, y = (equivariance.unit_vectors((n, len(tensor)), seed) for seed in (1, 2))

    def multiply(a, b):
        return torch.einsum("kij,ni,nj->nk", tensor, a, b)

    return (multiply(x @ turn.t(), y @ turn.t()) - multiply(x, y) @ turn.t()).norm(dim=1)


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("l_max", DEGREES)
def test_theorem_1_bounds_every_error_at_every_rank(paths, l_max):
    exact = coupling_tensor(l_max, paths, "none")
    for rank in cp_cache.RANKS[paths][l_max]:
        approximate = cp_fit.compose(cp_cache.factors_of(l_max, rank, paths))
        found = torch.cat([errors(approximate, turn) for turn in turns(l_max, paths)])
        bound = 2 * float((exact - approximate).norm())
        assert found.max() <= bound + EXACT, rank
        assert bound < equivariance.tail_bound(exact, rank), rank
        if rank < cp_cache.exact_rank(l_max, paths):
            assert found.mean() > 1e-3 * bound > 1e-6, rank  # neither error nor bound is rounding
        else:
            assert found.max() < EXACT, rank


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("l_max", DEGREES)
def test_second_bound_is_above_that_of_no_product_at_all(l_max, paths):
    """By Schur, degree n has 2 n + 1 equal singular values, whose squares add up to the number of its paths."""
    exact, rank = coupling_tensor(l_max, paths, "none"), 7 * l_max**2
    outputs = [l3 for _, _, l3 in admissible_paths(l_max, paths)]
    squares = sorted(outputs.count(n) / (2 * n + 1) for n in range(l_max + 1) for _ in range(2 * n + 1))
    tail = sum(squares[: len(squares) - int(rank ** (1 / 3) + 1e-9)])
    bound = equivariance.tail_bound(exact, rank)
    assert bound == pytest.approx(2 * (3 * tail) ** 0.5, rel=1e-12)
    assert bound > 2 * float(exact.norm())  # the bound of the zero tensor, which is perfectly equivariant


def test_odd_paths_break_parity():
    parity = torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0])).double()
    assert errors(coupling_tensor(1, "so3", "none"), parity).max() > 0.1
    assert errors(coupling_tensor(1, "o3", "none"), parity).max() < EXACT


def test_search_finds_worse_operands_than_chance_but_none_beyond_the_bound():
    for paths, l_max, rank in (("so3", 1, 7), ("so3", 2, 20), ("o3", 2, 12)):
        found = equivariance.measure(l_max, rank, paths)
        assert found.mean < found.largest <= found.bound
        assert 1.2 * found.mean < found.worst <= found.bound


@pytest.mark.parametrize("l_max", DEGREES)
def test_rotations_of_components_are_those_of_e3nn(l_max):
    rotations = torch.stack([random_rotation(seed) for seed in range(3)])
    expected = torch.stack([component_rotation(rotation, l_max) for rotation in rotations])
    assert (equivariance.component_rotations(rotations, l_max) - expected).abs().max() < EXACT


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("l_max", DEGREES)
def test_theorem_2_constructed_factors_are_any_equivariant_map(paths, l_max):
    tensor = universality.map_of(universality.random_coefficients(l_max, paths, 3), l_max, paths)
    assert max(float(errors(tensor, turn).max()) for turn in turns(l_max, paths)) < EXACT  # it is equivariant
    output, first, _ = universality.constructed_factors(tensor)
    assert output.size(1) == first.size(1) == (l_max + 1) ** 4
    assert max(universality.construction_error(l_max, paths, seed) for seed in range(3)) < EXACT


def test_construction_holds_for_operands_of_different_sizes():
    tensor = torch.randn(9, 4, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = universality.constructed_factors(tensor)
    x, y = equivariance.unit_vectors((5, 4), 1), equivariance.unit_vectors((5, 16), 2)
    assert factors[0].shape == (9, 64)
    assert (universality.hadamard(factors, x, y) - torch.einsum("kij,ni,nj->nk", tensor, x, y)).abs().max() < EXACT


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("l_max", DEGREES)
def test_shared_weight_spans_one_map_of_many(paths, l_max):
    shared = coupling_tensor(l_max, paths, "none")
    maps = [universality.map_of(universality.random_coefficients(l_max, paths, n), l_max, paths) for n in range(100)]
    squares = [universality.distance_from_span(tensor, shared) ** 2 for tensor in maps]
    n_paths = len(admissible_paths(l_max, paths))
    deviation = (2 * (n_paths - 1) / (n_paths**2 * (n_paths + 2)) / len(maps)) ** 0.5  # of the mean of 1 - cos^2
    assert sum(squares) / len(maps) == pytest.approx(1 - 1 / n_paths, abs=4 * deviation)
    assert universality.distance_from_span(-3 * shared, shared) < EXACT


def test_scales_per_degree_reach_what_they_can_make():
    scales = torch.tensor([[0.5, -2.0, 1.5], [1.0, 0.3, -0.7], [2.0, 1.0, 0.4]]).double()
    degrees = torch.tensor(admissible_paths(2, "o3")).t()
    product = torch.stack([scales[n, degrees[n]] for n in range(3)]).prod(0)
    assert universality.distance_from_scaled(product, 2, "o3") < 1e-6
    assert universality.distance_from_scaled(universality.random_coefficients(2, "o3", 0), 2, "o3") > 0.1


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("l_max", DEGREES)
def test_table_of_ranks_is_that_of_the_stored_factors(paths, l_max):
    table = (THEORY / "rank_error.md").read_text()
    printed = dict(re.findall(rf"^\| {paths} \| {l_max} \| (\d+) \| (\S+) \|", table, re.MULTILINE))
    exact, found = cp_cache.exact_rank(l_max, paths), []
    assert tuple(map(int, printed)) == cp_cache.RANKS[paths][l_max]
    for rank in cp_cache.RANKS[paths][l_max]:
        error = cp_cache.relative_error(l_max, rank, paths)
        assert (error < EXACT) == (rank >= exact)
        assert float(printed[str(rank)]) == pytest.approx(error, rel=0.01, abs=EXACT)
        found.append(max(error, EXACT))
    assert found == sorted(found, reverse=True)  # zero terms may always be added
    if l_max < len(EXACT_RANKS[paths]):
        assert exact <= EXACT_RANKS[paths][l_max]


@pytest.mark.parametrize("tie", ["free", "symmetric", "cyclic"])
def test_factors_are_stored_without_loss(tie):
    target = coupling_tensor(1, "o3", "none")
    factors, _ = cp_fit.fit(target, cp_fit.tied_columns(7, tie, n_cubes=4), seed=0, max_iterations=5)
    packed = cp_cache.pack(factors, 0.0)
    assert (cp_cache.unpack(**packed) - factors).abs().max() < 1e-14
    assert len(packed["vectors"]) <= (21 if tie == "free" else 7)


@pytest.mark.parametrize("name", complexity.FORMS)
def test_formulas_count_what_the_benchmark_executed(name):
    formula, (section, row), _ = complexity.FORMS[name]
    executed = complexity.benchmark()
    for l_max in complexity.DEGREES:
        expected = executed[section, row, l_max][1] / complexity.CHANNELS
        slack = 0.15 if "loop" in name else 0.001  # e3nn's code also scales; the formula counts the paths alone
        assert formula(l_max, complexity.CHANNELS) == pytest.approx(expected, rel=slack)


def test_network_turns_with_its_atoms_only_where_the_product_is_exact():
    assert orientation.rotation_error(orientation.md_model(1)) < EXACT
    assert orientation.rotation_error(orientation.paper_model(1, None)) < EXACT
    assert orientation.rotation_error(orientation.paper_model(1, 8)) < EXACT
    assert orientation.rotation_error(orientation.paper_model(1, 7)) > 1e-4
