"""Schedules, stages, precision, clipping, fine-tuning: what changes a run beside its data."""

from __future__ import annotations

import pytest
import torch
from models import random_model
from tiny import changed, crystals, history, settings, start, write
from torch import nn

import tdn
from tdn.checkpoints import read_checkpoint, training_summary
from tdn.config.training import TrainingConfig
from tdn.errors import TDNError
from tdn.training.optimizer import average_of, build_optimizers, clip_gradients
from tdn.training.precision import BFloat16Products
from tdn.training.schedule import Plateau, learning_rate_factor, stage_at, stage_weights


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    for name in ("plot_learning_curve", "plot_parity"):
        monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.xyz", crystals(8))
    return tmp_path


class TestSchedules:
    @pytest.mark.parametrize(("progress", "factor"), [(0.05, 0.5), (0.1, 1.0), (0.5, 1.0), (0.9, 0.55), (1.0, 0.1)])
    def test_warm_up_stable_decay(self, progress, factor):
        assert learning_rate_factor(progress, 0.1, 0.1, "wsd", decay=0.2) == pytest.approx(factor)

    @pytest.mark.parametrize("schedule", ["constant", "plateau"])
    def test_nothing_but_a_warm_up(self, schedule):
        factors = [learning_rate_factor(progress, 0.1, 0.01, schedule) for progress in (0.05, 0.2, 1.0)]
        assert factors == [0.5, 1.0, 1.0]

    def test_plateau_is_that_of_torch(self):
        losses = [3.0, 2.0, 2.5, 1.9999, 2.2, 2.1, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.4, 1.4, 1.4, 1.4, 1.4]
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
        plateau = Plateau(patience=2, step=0.5)
        for loss in losses:
            reference.step(loss)
            plateau.see(loss)
            assert plateau.factor == optimizer.param_groups[0]["lr"]
        assert plateau.factor < 1.0

    def test_rates_of_a_run(self, folder):
        start(folder, settings(schedule="constant", warmup=0.0, max_epochs=2))
        assert [row["learning_rate"] for row in history(folder)] == [0.01, 0.01]

    def test_plateau_of_a_run_goes_on_after_an_interruption(self, folder, tmp_path):
        options = {"schedule": "plateau", "patience": 0, "warmup": 0.0, "learning_rate": 0.3, "max_epochs": 6}
        start(folder, settings(**options))
        rates = [row["learning_rate"] for row in history(folder)]
        assert min(rates) < 0.3  # so large a rate does not improve forever
        start(folder, settings(**options) | {"run_dir": "other"}, stop_after=3)
        start(folder, settings(**options) | {"run_dir": "other"}, resume=True)
        other = read_checkpoint(folder / "other" / "last.ckpt")["run"]["history"]
        assert [row["learning_rate"] for row in other] == rates


class TestStages:
    options = TrainingConfig(energy_weight=1.0, second_stage={"start": 0.75, "energy_weight": 100.0})

    def test_weights_change_at_the_start(self):
        assert [stage_at(progress, self.options) for progress in (0.0, 0.74, 0.75, 1.0)] == [1, 1, 2, 2]
        assert stage_weights(1, self.options)["energy"] == 1.0
        assert stage_weights(2, self.options)["energy"] == 100.0
        assert stage_weights(2, self.options)["force"] == self.options.force_weight
        assert stage_at(1.0, TrainingConfig(energy_weight=1.0)) == 1

    def test_best_model_is_chosen_anew_in_the_second_stage(self, folder):
        """Its loss is another quantity, here much larger, which would never be the best."""
        stage = {"start": 0.5, "energy_weight": 1e6, "force_weight": 1e4}
        start(folder, settings(max_epochs=4, second_stage=stage))
        rows = history(folder)
        assert [row["stage"] for row in rows] == [1, 1, 2, 2]
        assert rows[2]["valid_loss"] > rows[1]["valid_loss"]
        assert training_summary(folder / "run" / "best.ckpt")["epoch"] in (3, 4)

    def test_best_by_another_error(self, folder):
        start(folder, settings(max_epochs=5, best_by="energy_mae", learning_rate=0.05, energy_weight=20.0))
        errors = [row["valid_energy_mae"] for row in history(folder)]
        assert training_summary(folder / "run" / "best.ckpt")["epoch"] == 1 + errors.index(min(errors))


class TestClipping:
    def clipped(self, lengths, **options):
        """Lengths of gradients after clipping, one after the other."""
        parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        average, result = torch.tensor(0.0, dtype=torch.float64), []
        for step, length in enumerate(lengths):
            parameter.grad = torch.tensor([0.6, 0.8], dtype=torch.float64) * length
            clip_gradients([parameter], average, step == 0, TrainingConfig(**options))
            result.append(float(parameter.grad.norm()))
        return result

    def test_against_the_running_average(self):
        assert self.clipped([1.0, 1.0, 50.0, 2.0], clip=3.0, max_norm=0.0) == pytest.approx([1.0, 1.0, 3.0, 2.0])

    def test_fixed(self):
        assert self.clipped([1.0, 50.0, 0.5], clip=0.0, max_norm=2.0) == pytest.approx([1.0, 2.0, 0.5])

    def test_none(self):
        assert self.clipped([1.0, 50.0], clip=0.0, max_norm=0.0) == pytest.approx([1.0, 50.0])


class TestPrecision:
    def test_bfloat16_products_have_three_digits_and_float32_results(self):
        torch.manual_seed(0)
        layer, x = nn.Linear(32, 16), torch.randn(8, 32, requires_grad=True)
        exact = layer(x)
        with BFloat16Products():
            rounded = layer(x)
        assert rounded.dtype == torch.float32
        assert 1e-6 < float((rounded - exact).detach().norm() / exact.detach().norm()) < 1e-2
        (gradient,) = torch.autograd.grad(rounded.sum(), x, create_graph=True)
        gradient.square().sum().backward()
        assert layer.weight.grad.dtype == torch.float32

    def test_heads_and_float64_stay_exact(self):
        head, x = nn.Linear(32, 1), torch.randn(8, 32)
        wide = nn.Linear(32, 16).double()
        with BFloat16Products():
            assert torch.equal(head(x), nn.functional.linear(x, head.weight, head.bias))
            rounded = wide(x.double())
        assert torch.equal(rounded, wide(x.double()))

    @pytest.mark.parametrize("dtype", ["bf16", "tf32"])
    def test_weights_are_float32(self, folder, dtype):
        before = torch.get_float32_matmul_precision()
        start(folder, settings(dtype=dtype, max_epochs=12, learning_rate=0.03))
        assert torch.get_float32_matmul_precision() == before
        content = read_checkpoint(folder / "run" / "last.ckpt")
        weights = {
            v.dtype for k, v in content["state_dict"].items() if k.startswith("model.") and "references" not in k
        }
        assert weights == {torch.float32}
        assert tdn.load(folder / "run" / "best.ckpt").dtype == torch.float32
        rows = history(folder)
        assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]

    def test_bf16_is_another_path_than_float32(self, folder):
        for name in ("float32", "bf16"):
            start(folder, settings(dtype=name, max_epochs=1) | {"run_dir": name})
        losses = [training_summary(folder / name / "last.ckpt")["loss"]["train"] for name in ("float32", "bf16")]
        assert losses[0] != losses[1]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)


class TestCompiled:
    def test_compiled_steps_give_the_same_run(self, folder, monkeypatch):
        """Through the eager backend, which compiles nothing but goes the same way."""
        from tdn.training import compiled as steps

        original = steps.CompiledStep
        monkeypatch.setattr(steps, "CompiledStep", lambda *args: original(*args, backend="eager"))
        stage = {"start": 0.5, "energy_weight": 100.0}
        for name, whole in (("eager", False), ("compiled", True)):
            start(folder, settings(compile=whole, max_epochs=2, second_stage=stage) | {"run_dir": name})
        eager, compiled = (
            read_checkpoint(folder / name / "last.ckpt")["run"]["history"] for name in ("eager", "compiled")
        )
        for first, second in zip(eager, compiled, strict=True):
            errors = {name: value for name, value in first.items() if name != "elapsed_s"}
            assert {name: second[name] for name in errors} == pytest.approx(errors, rel=1e-8)


class TestFineTuning:
    @pytest.fixture
    def trained(self, folder):
        """Checkpoint of a run on copper and gold."""
        start(folder, settings(max_epochs=2) | {"run_dir": "first"})
        return folder / "first" / "best.ckpt"

    def fine(self, folder, **training):
        content = settings(max_epochs=1, init_from="first/best.ckpt", **training)
        return start(folder, content | {"model": {}, "run_dir": "second"}, stop_after=0)

    def test_it_starts_with_the_weights_of_the_checkpoint(self, folder, trained):
        rate = {"learning_rate": 1e-30, "ema_decay": 0.0}
        lines = start(
            folder,
            settings(max_epochs=1, init_from="first/best.ckpt", **rate) | {"model": {}, "run_dir": "second"},
        )
        assert "weights from best.ckpt" in lines
        first, second = (read_checkpoint(path)["tdn"] for path in (trained, folder / "second" / "best.ckpt"))
        for name, value in first["model_state"].items():
            torch.testing.assert_close(second["model_state"][name], value, rtol=1e-12, atol=1e-12)
        assert {**first["model_config"], "x": 0} == {**second["model_config"], "x": 0, "pair_embedding": "auto"}

    def test_new_element(self, folder, trained):
        frames = crystals(6)
        for atoms in frames:
            calculator = atoms.calc
            atoms.symbols[-1] = "Ag"
            atoms.calc = calculator
        write(folder / "silver.xyz", frames)
        content = changed(settings(max_epochs=1, init_from="first/best.ckpt"), "data", train="silver.xyz")
        content |= {"model": {}, "run_dir": "second"}
        lines = start(folder, changed(content, "training", learning_rate=1e-30, ema_decay=0.0))
        assert "new elements, whose embeddings start at random: Ag" in lines
        old, new = tdn.load(trained), tdn.load(folder / "second" / "last.ckpt")
        assert new.elements == ("Cu", "Au", "Ag")
        for mine, theirs in zip(crystals(2, seed=3), crystals(2, seed=3), strict=True):
            kept = [tdn_energy(model, atoms) for model, atoms in ((old, mine), (new, theirs))]
            shift = [sum(float(m.references.energies[m.elements.index(s)]) for s in mine.symbols) for m in (old, new)]
            assert kept[0] - shift[0] == pytest.approx(kept[1] - shift[1], abs=1e-9)

    def test_references_are_kept_when_asked_for(self, folder, trained):
        content = settings(max_epochs=1, init_from="first/best.ckpt", init_references="keep")
        content = changed(content, "data", references={"Cu": 1.0, "Au": 2.0}) | {"model": {}, "run_dir": "second"}
        start(folder, content)
        first, second = (training_summary(path) for path in (trained, folder / "second" / "last.ckpt"))
        assert second["references"] == first["references"]
        assert second["energy_scale"] == first["energy_scale"]
        assert second["references_from"] == "the model started from"

    def test_new_head(self, folder, trained):
        content = settings(max_epochs=1, init_from="first/best.ckpt") | {"model": {"direct_forces": True}}
        lines = start(folder, content | {"run_dir": "second"})
        assert "new weights, which start at random: force_head" in " ".join(lines)

    def test_other_shape_is_refused(self, folder, trained):
        content = settings(init_from="first/best.ckpt") | {"model": {"n_channels": 16}, "run_dir": "second"}
        with pytest.raises(TDNError, match=r"weight .* of 'best\.ckpt' has shape .*; omit the options"):
            start(folder, content)

    def test_checkpoint_of_the_published_code(self, folder, shared_data):
        path = shared_data / "official-tdn" / "tdn_C32_L1_N2.state_dict.pt"
        content = settings(max_epochs=1, init_from=str(path), preset="paper", dtype="float64", learning_rate=1e-30)
        lines = start(folder, content | {"model": {}, "run_dir": "second"})
        assert f"weights from {path.name}" in lines
        assert not any("at random" in line for line in lines)
        model = tdn.load(folder / "second" / "last.ckpt")
        state = torch.load(path, weights_only=True)
        torch.testing.assert_close(model.network.head_out.weight.detach(), state["head.2.linear.weight"])
        assert model.energy_convention == "per_atom"


def tdn_energy(model, atoms) -> float:
    from tdn.data import graph_from_atoms

    return model(graph_from_atoms(atoms, model.elements, model.cutoff)).energy.item()


class TestMuon:
    def test_large_matrices_of_maps_and_nothing_else(self):
        model = random_model(("H", "O"), n_channels=16, radial_hidden=(16, 16))
        adamw, muon = build_optimizers(model, TrainingConfig(optimizer="muon", learning_rate=0.5, weight_decay=0.1))
        assert (type(adamw), type(muon)) == (torch.optim.AdamW, torch.optim.Muon)
        found = [{id(p) for group in made.param_groups for p in group["params"]} for made in (adamw, muon)]
        names = {name for name, p in model.named_parameters() if id(p) in found[1]}
        assert all(p.dim() == 2 and min(p.shape) >= 16 for n, p in model.named_parameters() if n in names)
        assert {"network.layers.0.attention.values.weight", "network.embedding.project.weight"} <= names
        others = {name for name, p in model.named_parameters() if id(p) in found[0]}
        assert {"network.embedding.elements", "network.head_out.weight", "network.norm.weight"} <= others
        assert names.isdisjoint(others)
        assert len(names | others) == len(list(model.parameters()))
        assert all(group["lr"] == 0.5 for made in (adamw, muon) for group in made.param_groups)

    def test_steps_are_as_long_as_those_of_adamw(self):
        """Root mean square of a first step: 0.2 of the learning rate, what Adam's typically is."""
        weight = nn.Parameter(torch.zeros(64, 64))
        model = nn.Module()
        model.weight, model.bias = weight, nn.Parameter(torch.zeros(64))
        model.energy_convention = "extensive"
        muon = build_optimizers(model, TrainingConfig(optimizer="muon", learning_rate=0.01))[1]
        weight.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
        muon.step()
        assert weight.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.3)

    def test_trains(self, folder):
        start(folder, changed(settings(max_epochs=5, optimizer="muon"), "model", n_channels=16, radial_hidden=[16, 16]))
        rows = history(folder)
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_average_forgets_the_first_weights_soon():
    """Weight 9 / (10 + n) of the newest until that is below 1 - decay."""
    model = torch.nn.Linear(1, 1, bias=False).double()
    average = average_of(model, 0.9)
    expected = None
    for n in range(120):
        with torch.no_grad():
            model.weight.fill_(float(n * n))
        average.update_parameters(model)
        newest = max(0.1, 9 / (10 + n))
        expected = float(n * n) if expected is None else expected + newest * (n * n - expected)
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-12)
    assert not average.module.weight.requires_grad
