"""The custom edge product equals plain tensor operations, and so do its derivatives."""

import pytest
import torch

from tdn.ops import load_library


@pytest.fixture(scope="module", autouse=True)
def library():
    load_library()


def operands(n_edges: int, d: int, n_channels: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(d)
    shapes = [(n_edges, d, d), (n_edges, d, n_channels), (n_edges, n_channels)]
    return [torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True) for shape in shapes]


def plain(coupling, message, weight):
    return (coupling @ message) * weight.unsqueeze(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_channels", [1, 7, 32])
@pytest.mark.parametrize("d", [1, 4, 9, 16, 25])
@pytest.mark.parametrize("n_edges", [0, 50])
def test_product_and_gradients(n_edges, d, n_channels, dtype):
    tensors = operands(n_edges, d, n_channels, dtype)
    got, want = torch.ops.tdn.edge_product(*tensors), plain(*tensors)
    seed = torch.randn(want.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(got, want, **close)
    for a, b in zip(torch.autograd.grad(got, tensors, seed), torch.autograd.grad(want, tensors, seed), strict=True):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("d", [2, 4])
def test_gradcheck(d):
    assert torch.autograd.gradcheck(torch.ops.tdn.edge_product, operands(3, d, 5))


def test_second_derivatives():
    assert torch.autograd.gradgradcheck(torch.ops.tdn.edge_product, operands(3, 4, 5))


def test_operands_need_not_be_contiguous():
    coupling, message, weight = (t.detach() for t in operands(6, 4, 8))
    got = torch.ops.tdn.edge_product(coupling.mT, message[..., ::2], weight[:, ::2])
    torch.testing.assert_close(got, plain(coupling.mT, message[..., ::2], weight[:, ::2]))


def test_wrong_shapes_are_named():
    coupling, message, weight = operands(6, 4, 8)
    with pytest.raises(RuntimeError, match=r"needs coupling \(E,d,d\), message \(E,d,C\) and weight \(E,C\)"):
        torch.ops.tdn.edge_product(coupling, message, weight[:, 1:])
