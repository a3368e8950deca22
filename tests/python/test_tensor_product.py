"""CPTensorProduct: the modes against e3nn, the two forms against each other, the theorems of the paper."""

import copy

import pytest
import torch
from e3nn import o3
from rotations import component_rotation, random_rotation

from tdn.algebra import cp_fit
from tdn.algebra.clebsch_gordan import admissible_paths, coupling_tensor, degree_slice, wigner_3j
from tdn.algebra.cp_decomposition import CPFactors, cp_factors
from tdn.algebra.tensor_product import (
    CPTensorProduct,
    apply_edge_matrix,
    components_to_irreps,
    edge_matrix,
    edge_matrix_from_factors,
    irreps_to_components,
)
from tdn.errors import TDNError

CHANNELS = {"uvw": (3, 2, 4), "uvu": (3, 2, 3), "uvv": (3, 2, 2), "uuw": (3, 3, 4), "uuu": (3, 3, 3)}
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def make_product(mode: str, l_max: int, **options) -> CPTensorProduct:
    n_first, n_second, n_out = CHANNELS[mode]
    return CPTensorProduct(l_max, n_first, n_second, n_out, mode=mode, **options).double()


def operands(product: CPTensorProduct, l_max: int, n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dim = (l_max + 1) ** 2
    first, second = random(n, dim, product.n_first, seed=1), random(n, dim, product.n_second, seed=2)
    return first, second, random(n, product.weight_numel, seed=3)


def e3nn_product(mode: str, l_max: int, paths: str) -> o3.TensorProduct:
    """All paths of one mode, without any of e3nn's path coefficients."""
    irreps = [
        o3.Irreps([(channels, (degree, (-1) ** degree if paths == "o3" else 1)) for degree in range(l_max + 1)])
        for channels in CHANNELS[mode]
    ]
    instructions = [(*path, mode, True, 1.0) for path in admissible_paths(l_max, paths)]
    options = {"irrep_normalization": "none", "path_normalization": "none", "shared_weights": False}
    torch.set_default_dtype(torch.float64)  # e3nn rounds its coefficients to the default dtype
    try:
        return o3.TensorProduct(*irreps, instructions, internal_weights=False, **options)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("form", ["exact", "cp"])
@pytest.mark.parametrize("paths", ["o3", "so3"])
@pytest.mark.parametrize("l_max", [1, 2])
@pytest.mark.parametrize("mode", CHANNELS)
def test_modes_are_those_of_e3nn_with_one_weight_for_all_paths(mode, l_max, paths, form):
    product = make_product(mode, l_max, paths=paths, form=form, normalization="none")
    first, second, weight = operands(product, l_max)
    reference = e3nn_product(mode, l_max, paths)
    n_paths = len(admissible_paths(l_max, paths))
    assert reference.weight_numel == n_paths * product.weight_numel
    expected = reference(components_to_irreps(first), components_to_irreps(second), weight.repeat(1, n_paths))
    assert (components_to_irreps(product(first, second, weight)) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("paths", ["o3", "so3"])
@pytest.mark.parametrize("l_max", [1, 2, 3])
@pytest.mark.parametrize("mode", CHANNELS)
def test_cp_form_equals_exact_form(mode, l_max, paths, dtype):
    exact, cp = (make_product(mode, l_max, paths=paths, form=form).to(dtype) for form in ("exact", "cp"))
    inputs = [x.to(dtype) for x in operands(exact, l_max)]
    result = exact(*inputs)
    assert result.dtype == dtype
    assert (cp(*inputs) - result).abs().max() < TOLERANCE[dtype] * result.abs().max()


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_one_channel_edge_matrix_is_the_same_product(l_max):
    dim = (l_max + 1) ** 2
    first, second, weight = random(6, dim, 4, seed=1), random(6, dim, 1, seed=2), random(6, 4, seed=3)
    factors = cp_factors(l_max)
    matrix = edge_matrix(coupling_tensor(l_max, "o3", "none"), second[:, :, 0])
    by_factors = edge_matrix_from_factors(factors.output, factors.first, factors.second, second[:, :, 0])
    assert (matrix - by_factors).abs().max() < 1e-12
    expected = apply_edge_matrix(matrix, first, weight)
    for form in ("exact", "cp"):
        product = CPTensorProduct(l_max, 4, form=form, normalization="none").double()
        assert (product(first, second, weight) - expected).abs().max() < 1e-11


@pytest.mark.parametrize("form", ["exact", "cp"])
def test_component_normalization_keeps_unit_variance(form):
    product = CPTensorProduct(2, 1, 1, mode="uuu", form=form).double()
    result = product(random(20000, 9, 1, seed=1), random(20000, 9, 1, seed=2), torch.ones(1, 1).double())
    assert (result.square().mean((0, 2)) - 1).abs().max() < 0.1


@pytest.mark.parametrize("form", ["exact", "cp"])
@pytest.mark.parametrize("mode", CHANNELS)
def test_gradients_and_script(mode, form):
    product = make_product(mode, 1, form=form)
    inputs = [x.requires_grad_() for x in operands(product, 1, n=2)]
    assert torch.autograd.gradcheck(product, inputs)
    scripted = torch.jit.script(product)
    assert (scripted(*inputs) - product(*inputs)).abs().max() < 1e-13


def test_internal_weights_are_shared_by_all_rows_and_trained():
    product = make_product("uvw", 1, internal_weights=True)
    first, second, _ = operands(product, 1)
    result = product(first, second)
    assert torch.equal(result, product(first, second, product.weight.unsqueeze(0)))
    result.sum().backward()
    assert product.weight.grad.abs().min() > 0
    assert torch.equal(torch.jit.script(product)(first, second), result)


def test_exact_constants_survive_a_trip_through_float32_and_stay_out_of_the_state():
    for form in ("exact", "cp"):
        product = make_product("uvu", 2, form=form, rank=None)
        inputs = operands(product, 2)
        expected = product(*inputs)
        assert not product.state_dict()
        assert torch.equal(copy.deepcopy(product).float().double()(*inputs), expected)


def test_approximate_factors_travel_in_the_state():
    target = coupling_tensor(1, "o3", "none")
    approximate = [cp_fit.fit(target, cp_fit.tied_columns(3, "symmetric"), seed)[0] for seed in (0, 1)]
    first, second = (
        make_product("uvu", 1, factors=CPFactors(f[1], f[2], f[0], cp_fit.relative_error(target, f)))
        for f in approximate
    )
    inputs = operands(first, 1)
    assert (first(*inputs) - second(*inputs)).abs().max() > 1e-3
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs), second(*inputs))


def test_no_rows():
    product = make_product("uvw", 2)
    assert product(*operands(product, 2, n=0)).shape == (0, 9, 4)


def test_layouts_are_inverse():
    array = random(3, 9, 4)
    assert torch.equal(irreps_to_components(components_to_irreps(array), 4), array)


@pytest.mark.parametrize(
    ("paths", "l_max", "rank"), [("o3", 1, 2), ("so3", 1, 4), ("so3", 1, 7), ("o3", 2, 12), ("so3", 2, 20)]
)
def test_theorem_1_bounds_the_equivariance_error(paths, l_max, rank):
    """|Mhat(Dx, Dy) - D Mhat(x, y)| <= 2 C^2 |M - Mhat|_F for |x|, |y| <= C (paper, Theorem 3.1, first bound)."""
    exact = coupling_tensor(l_max, paths, "none")
    stacked, _ = cp_fit.fit(exact, cp_fit.tied_columns(rank, "free"), seed=0, max_iterations=40)
    distance = (cp_fit.compose(stacked) - exact).norm()
    factors = CPFactors(stacked[1], stacked[2], stacked[0], float(distance / exact.norm()))
    product = CPTensorProduct(l_max, 1, mode="uuu", paths=paths, normalization="none", factors=factors).double()
    one = torch.ones(1, 1, dtype=torch.float64)
    largest = 0.0
    for seed in range(10):
        rotation = component_rotation(random_rotation(seed), l_max)
        x, y = (random(50, len(exact), 1, seed=100 * k + seed) for k in (1, 2))
        x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)  # C = 1
        error = product(rotation @ x, rotation @ y, one) - rotation @ product(x, y, one)
        largest = max(largest, float(error.norm(dim=1).max()))
    assert 1e-6 < largest <= 2 * distance


@pytest.mark.parametrize("l_max", [1, 2])
def test_theorem_2_any_equivariant_bilinear_map_has_rank_d1_d2(l_max):
    """One term for each pair (i, j): first_i'r = delta_i'i, second_j'r = delta_j'j, output_kr = T_kij (Theorem 3.2)."""
    dim = (l_max + 1) ** 2
    tensor = torch.zeros(dim, dim, dim, dtype=torch.float64)
    coefficients = random(len(admissible_paths(l_max, "so3")), seed=7)
    for alpha, (l1, l2, l3) in zip(coefficients, admissible_paths(l_max, "so3"), strict=True):
        tensor[degree_slice(l3), degree_slice(l1), degree_slice(l2)] = alpha * wigner_3j(l1, l2, l3).permute(2, 0, 1)
    identity = torch.eye(dim, dtype=torch.float64)
    first, second = identity.repeat_interleave(dim, dim=1), identity.repeat(1, dim)
    factors = CPFactors(first, second, tensor.flatten(1), 0.0)
    product = CPTensorProduct(l_max, 2, 2, mode="uuu", normalization="none", factors=factors).double()
    x, y, ones = random(8, dim, 2, seed=1), random(8, dim, 2, seed=2), torch.ones(1, 2, dtype=torch.float64)
    assert factors.rank == dim * dim
    assert (product(x, y, ones) - torch.einsum("kij,niu,nju->nku", tensor, x, y)).abs().max() < 1e-12
    rotation = component_rotation(random_rotation(0), l_max)
    rotated = product(rotation @ x, rotation @ y, ones)
    assert (rotated - rotation @ product(x, y, ones)).abs().max() < 1e-11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "uvx"}, "mode is 'uvx' .did you mean 'uv.'..; use one of uvw, uvu, uvv, uuw, uuu"),
        ({"mode": "uuu", "n_second": 2}, "mode uuu pairs equal channels but n_first = 3 and n_second = 2"),
        ({"mode": "uvu", "n_out": 5}, "mode uvu makes 3 channels but n_out = 5; set n_out = 3"),
        ({"n_second": 0}, "n_second is 0; give at least one channel"),
        ({"form": "ecact"}, "form is 'ecact' .did you mean 'exact'..; use exact or cp"),
        ({"form": "cp", "rank": 0}, "CP rank is 0"),
    ],
)
def test_impossible_products_are_refused(options, message):
    with pytest.raises(TDNError, match=message):
        CPTensorProduct(1, 3, **options)


def test_missing_weights_are_named():
    product = make_product("uvu", 1)
    first, second, _ = operands(product, 1)
    with pytest.raises(ValueError, match="needs weights of shape"):
        product(first, second)
