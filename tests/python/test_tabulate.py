"""Tables of radial weights: smooth, within their bound, and as many knots as that needs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from ase import Atoms
from derivatives import automatic_jets
from models import graph_of, random_model
from torch import Tensor

from tdn import _core
from tdn.architectures import default_dtype
from tdn.checkpoints import save_model
from tdn.cli import main
from tdn.deployment import DeployedModel, read_label, write_archive
from tdn.deployment.rewrite import deployable
from tdn.deployment.tables import evaluate_table, hermite_table
from tdn.deployment.tabulate import BOUND, MAX_INTERVALS, MIN_INTERVALS, Tabulation, checked_pairs, measure, tabulation
from tdn.deployment.verify import table as verdict_table
from tdn.elements import SYMBOLS
from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig
from tdn.model.radial import polynomial_envelope

CUTOFF = 4.5


def at_slot(table: Tensor, slot: int) -> Callable[[Tensor], Tensor]:
    return lambda r: evaluate_table(table, torch.full(r.shape, slot), r, CUTOFF)


class TestTable:
    @pytest.mark.parametrize("side", [-1e-10, 0.0, 1e-10], ids=["left", "at", "right"])
    def test_two_continuous_derivatives_at_the_knots(self, side):
        """Random numbers at the knots are what the table gives there, from both sides."""
        torch.manual_seed(0)
        table = torch.randn(2, 10, 3, 4, dtype=torch.float64)
        spacing = CUTOFF / 9
        points = torch.arange(1, 9, dtype=torch.float64) * spacing + side
        for slot in range(2):
            for order, found in enumerate(automatic_jets(at_slot(table, slot), points)):
                torch.testing.assert_close(found * spacing**order, table[slot, 1:9, order], rtol=0.0, atol=1e-7)

    def test_ends_of_the_table(self):
        table = torch.randn(1, 5, 3, 2, dtype=torch.float64)
        found = automatic_jets(at_slot(table, 0), torch.tensor([0.0, CUTOFF], dtype=torch.float64))
        torch.testing.assert_close(found[0], table[0, [0, 4], 0])
        torch.testing.assert_close(found[1] * CUTOFF / 4, table[0, [0, 4], 1])

    def test_polynomials_of_degree_five_are_exact(self):
        """Beyond the first interval, whose left end is a Taylor continuation, exact for degree two."""
        coefficients = torch.tensor([0.3, -1.0, 0.7, 0.2, -0.1, 0.02], dtype=torch.float64)

        def polynomial(r: Tensor, degree: int) -> Tensor:
            return sum(coefficients[k] * r**k for k in range(degree + 1)).unsqueeze(-1)

        knots = torch.arange(1, 7, dtype=torch.float64) * CUTOFF / 6
        for degree, start in ((5, CUTOFF / 6), (2, 0.0)):
            jets = automatic_jets(lambda r, n=degree: polynomial(r, n), knots).unsqueeze(1)
            points = torch.linspace(start, CUTOFF, 50, dtype=torch.float64)
            found = at_slot(hermite_table(jets, CUTOFF / 6), 0)(points)
            torch.testing.assert_close(found, polynomial(points, degree), rtol=1e-12, atol=1e-12)

    def test_gradient_is_the_slope(self):
        table = torch.randn(3, 8, 3, 4, dtype=torch.float64)
        points = torch.linspace(0.1, 4.4, 20, dtype=torch.float64, requires_grad=True)
        slots = torch.arange(20) % 3
        assert torch.autograd.gradcheck(lambda r: evaluate_table(table, slots, r, CUTOFF), points)


def make_model(setting: str) -> TDN:
    if setting == "md":
        return random_model(("H", "O"), n_channels=8)
    torch.manual_seed(0)
    with default_dtype("float64"):
        small = {"n_channels": 8, "n_layers": 1, "n_radial": 12, "radial_hidden": (16, 16)}
        return TDN(ModelConfig.paper(("H", "O"), **small)).eval()


@pytest.mark.parametrize("setting", ["md", "paper"])
class TestBound:
    def test_at_random_points_of_every_pair(self, setting):
        """Against the model's own radial networks and envelope, differentiated automatically."""
        model = make_model(setting)
        tables = tabulation(deployable(model, torch.float64))
        assert tables.within_bound and MIN_INTERVALS <= tables.intervals <= MAX_INTERVALS
        network, geometry = model.network, model.network.geometry
        weights = deployable(model, torch.float64, tables.n_knots).fused_weights(torch.arange(4))
        spacing = CUTOFF / tables.intervals
        points = spacing + (CUTOFF - spacing) * torch.rand(3000, dtype=torch.float64)

        def enveloped(function: Callable[[Tensor], Tensor]) -> Tensor:
            u = (lambda r: polynomial_envelope(r, CUTOFF, geometry.power)) if model.config.smooth else torch.ones_like
            return automatic_jets(lambda r: function(r) * u(r).unsqueeze(-1), points)[:2]

        blocks = {f"layers.{k}": layer.attention.radial for k, layer in enumerate(network.layers)}
        for block, radial in blocks.items():
            for pair in range(4 if model.config.smooth else 1):
                exact = enveloped(lambda r, f=radial, p=pair: f(geometry.basis(r), torch.full(r.shape, p)))
                found = enveloped(at_slot(weights[block + ".table"], pair))
                for a, b in zip(found, exact, strict=True):
                    assert float((a - b).abs().max()) <= 1.05 * BOUND * float(b.abs().max())

    def test_no_finer_than_needed(self, setting):
        network = deployable(make_model(setting), torch.float64)
        tables = tabulation(network)
        pairs = torch.arange(4 if setting == "md" else 1)
        assert tables.intervals > MIN_INTERVALS
        assert not measure(network, pairs, tables.intervals // 2).within_bound
        assert measure(network, pairs, tables.intervals) == tables

    def test_error_falls_with_the_order_of_the_polynomials(self, setting):
        network = deployable(make_model(setting), torch.float64)
        coarse, fine = (measure(network, torch.tensor([0]), n) for n in (256, 512))
        assert coarse.value_error / fine.value_error > 2**5
        assert coarse.derivative_error / fine.derivative_error > 2**4


@pytest.mark.parametrize("n_elements", [1, 4, 5, 8, 11, 89])
def test_bounded_number_of_pairs_is_compared(n_elements):
    pairs = checked_pairs(n_elements).tolist()
    same = [pair for pair in pairs if pair // n_elements == pair % n_elements]
    assert len(set(pairs)) == len(pairs) and min(pairs) >= 0 and max(pairs) < n_elements**2
    assert len(pairs) <= 16
    assert len(same) == min(n_elements, 8)
    assert len(pairs) == n_elements**2 if n_elements <= 4 else len(pairs) == 2 * len(same)


class TestArchive:
    def test_label_and_verdicts(self, tmp_path):
        verdicts = write_archive(make_model("md"), tmp_path / "a.tdn.pt")
        archive = DeployedModel(tmp_path / "a.tdn.pt")
        entry = archive.label["tabulation"]
        assert archive.module.n_knots == entry["intervals"] + 1
        assert max(entry["value_error"], entry["derivative_error"]) <= BOUND
        assert [v.value for v in verdicts[:2]] == [entry["value_error"], entry["derivative_error"]]
        assert all("radial tables" in v.name and v.limit == BOUND for v in verdicts[:2])

    def test_without_tables(self, tmp_path):
        verdicts = write_archive(make_model("md"), tmp_path / "a.tdn.pt", tabulate=False)
        archive = DeployedModel(tmp_path / "a.tdn.pt")
        assert (archive.label["tabulation"], archive.module.n_knots) == (None, 0)
        assert not any("radial" in v.name for v in verdicts)

    def test_bound_that_cannot_be_met(self, tmp_path, monkeypatch):
        """With too few intervals allowed the networks are kept, and the table says so."""
        monkeypatch.setattr("tdn.deployment.tabulate.MAX_INTERVALS", MIN_INTERVALS)
        verdicts = write_archive(make_model("md"), tmp_path / "a.tdn.pt")
        archive = DeployedModel(tmp_path / "a.tdn.pt")
        assert (archive.label["tabulation"], archive.module.n_knots) == (None, 0)
        sentence = "tables of 32 intervals miss 1e-06, so the networks are kept"
        assert sentence in verdict_table(verdicts).splitlines()[1]
        assert any(sentence in name for name in archive.label["verification"])

    def test_errors_that_are_not_numbers_miss_the_bound(self):
        tables = Tabulation(64, 1e-9, float("nan"))
        assert (tables.n_knots, tables.label()) == (0, None)
        assert not tables.verdicts()[0].passed

    def test_table_that_is_zero(self):
        model = make_model("md")
        with torch.no_grad():
            model.network.layers[0].attention.radial.last.weight.zero_()
            model.network.layers[0].attention.radial.last.bias.zero_()
        assert tabulation(deployable(model, torch.float64)).within_bound

    def test_command(self, tmp_path, capsys):
        save_model(random_model(("H", "O"), n_channels=8), tmp_path / "m.ckpt", {})
        for name, options in (("with", []), ("without", ["--no-tabulate"])):
            archive = str(tmp_path / f"{name}.tdn.pt")
            assert main(["deploy", str(tmp_path / "m.ckpt"), "-o", archive, *options]) == 0
            assert ("radial tables" in capsys.readouterr().out) == (name == "with")
            assert main(["inspect", archive, "--json"]) == 0
            assert json.loads(capsys.readouterr().out) == read_label(archive)
            assert main(["inspect", archive]) == 0
            assert ("tabulation:\n  intervals: " if name == "with" else "tabulation: None") in capsys.readouterr().out


@pytest.fixture(scope="module")
def many() -> TDN:
    return random_model(tuple(SYMBOLS[:60]), n_channels=32, n_layers=1, pair_embedding="sum")


@pytest.fixture(scope="module")
def archive_of_many(many, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("many") / "many.tdn.pt"
    write_archive(many, path)
    return str(path)


class TestManyElements:
    """Tables are made for the elements of a run only."""

    def test_few_elements_of_many(self, many, archive_of_many):
        deployed = DeployedModel(archive_of_many)
        for symbols in ("OHH", "SiOO", "AgSiH"):
            graph = graph_of(many, Atoms(symbols, [[0, 0, 0], [1.1, 0, 0], [0, 1.3, 0.2]]))
            expected, found = many(graph), deployed(graph)
            torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-6 * largest(expected.forces))
        assert deployed.fused

    def test_all_of_them_would_fill_the_memory(self, archive_of_many):
        with pytest.raises(TDNError, match=r"radial tables of 60 elements need \d+ MB, more than 2000"):
            _core.Evaluator(archive_of_many)
        assert _core.Evaluator(archive_of_many, engine="script").engine == "script"


def largest(values: torch.Tensor) -> float:
    return float(values.abs().max())
