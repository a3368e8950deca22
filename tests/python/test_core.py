"""tdn._core runs archives without LAMMPS and gives the formula's numbers."""

import json
from pathlib import Path

import pytest
import torch
from make_archives import make_archive

from tdn.errors import TDNError

core = pytest.importorskip("tdn._core")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive("message", "float64", tmp_path_factory.mktemp("archives"))


@pytest.fixture
def graph() -> dict[str, torch.Tensor]:
    """Four atoms, every pair an edge."""
    species = torch.tensor([0, 1, 1, 0])
    x = torch.tensor([[0, 0, 0], [1.1, 0, 0.2], [0, 1.3, 0], [0.1, 0.2, 1.2]], dtype=torch.float64)
    center, neighbor = torch.where(~torch.eye(4, dtype=torch.bool))
    return {"species": species, "center": center, "neighbor": neighbor, "vectors": x[neighbor] - x[center]}


def formula(species, center, neighbor, vectors):
    """x = a; twice x_i += sum_j u_ij tanh(x_j); E_i = x_i^2 + e with u = k (1 - (r/3)^2)^3."""
    k = torch.tensor([0.5, 0.8, 0.9, 0.4], dtype=torch.float64)[2 * species[center] + species[neighbor]]
    u = k * (1 - (vectors**2).sum(1) / 9) ** 3
    x = torch.tensor([0.3, -0.5], dtype=torch.float64)[species]
    for _ in range(2):
        x = x.index_add(0, center, u * torch.tanh(x)[neighbor])
    return x**2 + torch.tensor([-1.0, -2.0], dtype=torch.float64)[species]


def evaluate(evaluator, **arguments):
    """Results as tensors; numpy reads tensors of the CPU where it is given them."""
    return [None if array is None else torch.from_numpy(array) for array in evaluator.evaluate(**arguments)]


def test_label_is_readable(archive: Path):
    assert json.loads(core.Evaluator(str(archive)).metadata)["elements"] == ["H", "O"]


def test_energies_and_gradients(archive: Path, graph):
    energies, gradients, direct = evaluate(core.Evaluator(str(archive)), **graph)
    vectors = graph["vectors"].clone().requires_grad_()
    want = formula(**{**graph, "vectors": vectors})
    torch.testing.assert_close(energies, want.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients, torch.autograd.grad(want.sum(), vectors)[0], rtol=1e-12, atol=1e-12)
    assert direct is None


def test_rows_that_copy_owned_atoms_change_nothing(archive: Path, graph):
    """Atom 3 is seen through a copy in row 4."""
    evaluator = core.Evaluator(str(archive))
    energies, gradients, _ = evaluate(evaluator, **graph)
    copied = {**graph, "species": torch.tensor([0, 1, 1, 0, 0])}
    copied["neighbor"] = torch.where(graph["neighbor"] == 3, 4, graph["neighbor"])
    got = evaluate(evaluator, **copied, n_owned=4, row_map=torch.tensor([0, 1, 2, 3, 3]))
    torch.testing.assert_close(got[0], energies, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(got[1], gradients, rtol=1e-13, atol=1e-13)


def test_direct_forces(archive: Path, graph):
    energies, gradients, direct = core.Evaluator(str(archive)).evaluate(**graph, direct=True)
    assert energies.shape == (4,) and gradients is None and direct.shape == (4, 3)


@pytest.mark.parametrize("n_atoms", [0, 1])
def test_nothing_to_see(archive: Path, n_atoms: int):
    none = torch.zeros(0, dtype=torch.long)
    evaluator = core.Evaluator(str(archive))
    species = torch.zeros(n_atoms, dtype=torch.long)
    energies, gradients, _ = evaluator.evaluate(species, none, none, torch.zeros(0, 3, dtype=torch.float64))
    assert energies.tolist() == pytest.approx([0.3**2 - 1.0] * n_atoms) and gradients.shape == (0, 3)


def test_dtype_converts_the_model(archive: Path, graph):
    for dtype in ("float32", "float64"):
        evaluator = core.Evaluator(str(archive), dtype=dtype)
        energies, gradients, _ = evaluator.evaluate(**graph)
        assert evaluator.dtype == dtype
        assert energies.dtype == "float64" and gradients.dtype == dtype


def test_the_callers_settings_are_left_alone(archive: Path, graph):
    core.Evaluator(str(archive)).evaluate(**graph, direct=True)
    assert torch.is_grad_enabled()


def test_errors_are_tdn_errors(tmp_path: Path, archive: Path, graph):
    with pytest.raises(TDNError, match="cannot be read or is empty"):
        core.Evaluator(str(tmp_path / "none.tdn.pt"))
    with pytest.raises(TDNError, match="neighbor has 11 rows but 12 are needed"):
        core.Evaluator(str(archive)).evaluate(**{**graph, "neighbor": graph["neighbor"][1:]})
    with pytest.raises(TDNError, match="engine is 'fast': use auto, fused or script"):
        core.Evaluator(str(archive), engine="fast")
    with pytest.raises(TDNError, match="not sorted by center: sort center, neighbor and vectors"):
        core.Evaluator(str(archive)).evaluate(**{**graph, "center": graph["center"].flip(0)})
    with pytest.raises(TDNError, match="dtype is 'float16': use float32 or float64"):
        core.Evaluator(str(archive), dtype="float16")
    with pytest.raises(TDNError, match=r"vectors are not an array \(n_edges, 3\)"):
        core.Evaluator(str(archive)).evaluate(**{**graph, "vectors": graph["vectors"][:, :2]})
    with pytest.raises(TDNError, match="species 1 is not among those for which the evaluator was opened"):
        core.Evaluator(str(archive), species=[0]).evaluate(**graph)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("center", -1, "center is -1 at edge 0 but there are 4 owned atoms"),
        ("center", 4, "center is 4 at edge 11 but there are 4 owned atoms"),
        ("neighbor", -1, "neighbor is -1 at edge 0 but there are 4 rows"),
        ("neighbor", 4, "neighbor is 4 at edge 11 but there are 4 rows"),
        ("species", -1, "species -1 is not among those"),
        ("species", 2, "species 2 is not among those"),
    ],
)
def test_indices_of_nothing(archive: Path, graph, name: str, value: int, sentence: str):
    wrong = graph[name].clone()
    wrong[0 if value < 0 else -1] = value
    with pytest.raises(TDNError, match=sentence):
        core.Evaluator(str(archive)).evaluate(**{**graph, name: wrong})


@pytest.mark.parametrize(
    ("row_map", "sentence"),
    [
        ([0, 1, 2, 3, 4], "the row map names row 4 but only rows 0 to 3 are owned"),
        ([0, 1, 2, 3, -1], "the row map names row -1 but only rows 0 to 3 are owned"),
        ([1, 0, 2, 3, 3], "the row map moves owned atoms"),
    ],
)
def test_row_maps_of_nothing(archive: Path, graph, row_map: list[int], sentence: str):
    wrong = {**graph, "species": torch.tensor([0, 1, 1, 0, 0])}
    with pytest.raises(TDNError, match=sentence):
        core.Evaluator(str(archive)).evaluate(**wrong, n_owned=4, row_map=torch.tensor(row_map))
    with pytest.raises(TDNError, match="n_owned is -1: give the number of owned atoms"):
        core.Evaluator(str(archive)).evaluate(**wrong, n_owned=-1, row_map=torch.tensor(row_map))


def test_the_number_of_threads_changes_nothing(archive: Path, graph):
    evaluator = core.Evaluator(str(archive))
    one, two = (evaluator.evaluate(**graph, n_threads=n)[0] for n in (1, 2))
    assert one.tolist() == pytest.approx(two.tolist(), rel=1e-14)
