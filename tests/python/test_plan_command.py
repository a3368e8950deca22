"""``tdn plan``: what it prints, how it measures, and one sentence for every mistake."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from test_plan import RATES

from tdn.cli import main
from tdn.deployment import read_label
from tdn.errors import TDNError
from tdn.plan import measure as measuring
from tdn.plan import model_size, parse_plan, read_rates

WATER = Path(__file__).parents[2] / "examples" / "water" / "water.tdn.pt"
SYSTEM = ("--atoms", "12288", "--density", "0.1", "--ranks", "4")
COUNTS = ("atoms", "edges", "ghosts", "remote atoms", "messages per layer and direction")
COSTS = ("MB of memory", "ms per step")


@pytest.fixture
def plan(capsys):
    """Run the command; returns exit status, what it prints, and its error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["plan", *(str(argument) for argument in arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def rates_file(tmp_path) -> Path:
    path = tmp_path / "rates.json"
    replace(RATES, model="water").write(path)
    return path


class TestPlan:
    def test_without_rates(self, plan):
        status, text, _ = plan(WATER, *SYSTEM)
        assert status == 0
        assert text.startswith("water: 3 layers, cutoff 4.5 + 2 angstrom; 1 x 2 x 2 ranks, each ")
        values = parse_plan(text)
        assert values["atoms"] == (3072, 3072)
        assert values["messages per layer and direction"] == (3, 3)
        assert values["MB per step"][0] == pytest.approx(6 * values["MB per layer and direction"][0], rel=2e-3)
        assert set(values).isdisjoint(COSTS) and set(values) > set(COUNTS)
        assert text.splitlines()[-1].startswith("no rates are given, so memory and time are unknown; ")

    def test_with_rates(self, plan, rates_file):
        status, text, _ = plan(WATER, *SYSTEM, "--rates", rates_file)
        values = parse_plan(text)
        assert status == 0
        assert values["ms per step"][0] > 3072 * 2e-5 * 1e3
        assert values["MB of memory"][0] > 3072 * 5e3 * 1e-6
        assert text.splitlines()[-1].startswith("  ms per step")

    @pytest.mark.parametrize(
        ("change", "options", "reason"),
        [
            ({}, ("--gpus",), "no GPU rates are known (the rate file was made on device cpu), so memory and time"),
            ({"device": "cuda"}, (), "made on device cuda and the ranks have no GPUs without --gpus, so"),
            ({"model": "other"}, (), "was measured with model 'other', not 'water', so"),
            ({}, ("--dtype", "float64"), "was measured in float32, not float64, so"),
        ],
    )
    def test_rates_of_something_else_are_not_used(self, plan, rates_file, change, options, reason):
        replace(read_rates(rates_file), **change).write(rates_file)
        status, text, _ = plan(WATER, *SYSTEM, "--rates", rates_file, *options)
        assert status == 0
        assert reason in text.splitlines()[-1]
        assert set(parse_plan(text)).isdisjoint(COSTS)

    def test_gpu_rates(self, plan, rates_file):
        replace(read_rates(rates_file), device="cuda").write(rates_file)
        _, text, _ = plan(WATER, *SYSTEM, "--rates", rates_file, "--gpus")
        assert set(parse_plan(text)) > set(COSTS)
        assert "no GPU rates are given, so" in plan(WATER, *SYSTEM, "--gpus")[1]

    def test_json(self, plan):
        options = ("--box", 24.888, 24.888, 49.776, "--processors", 1, 1, 4, "--skin", 1, "--wire", "bfloat16")
        status, text, _ = plan(WATER, "--atoms", "3.072e3", "--ranks", 4, *options, "--json")
        content = json.loads(text)
        assert status == 0
        assert content["system"]["grid"] == [1, 1, 4]
        assert content["system"]["block"] == [24.888, 24.888, 12.444]
        assert content["system"]["skin"] == 1
        assert content["model"]["bytes_per_number"] == 2
        assert content["per_rank"]["atoms"] == {"mean": 768, "max": 768}

    def test_label_decides_on_widths_and_kind(self, monkeypatch):
        label = read_label(WATER) | {"force_width": 32, "force_kinds": ["direct", "gradient"], "layer_widths": [8, 4]}
        monkeypatch.setattr("tdn.deployment.archive.read_label", lambda _: label)
        assert (model_size("a").numbers_per_step, model_size("a").exchanges) == (8 + 4 + 32, 3)
        label["force_kinds"] = ["gradient", "direct"]
        assert (model_size("a").numbers_per_step, model_size("a").exchanges) == (2 * (8 + 4), 4)


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("--density", 0.1, "--ranks", 4), "--atoms is missing; a plan needs --atoms, --ranks and"),
            (("--density", 0.1, "--atoms", 9), "--ranks is missing; a plan needs"),
            (("--atoms", 10, "--ranks", 4), "neither --density nor --box is given; give one of them"),
            (("--atoms", 0, "--ranks", 4, "--density", 0.1), "number of atoms is 0; give a whole number of at least 1"),
            (("--atoms", 9, "--ranks", -4, "--density", 0.1), "number of ranks is -4; give a whole number"),
            ((*SYSTEM[:2], "--ranks", 4, "--density", "nan"), "the density is nan atoms per cubic angstrom; give a"),
            ((*SYSTEM, "--skin", -1), "the skin is -1 angstrom; give zero or a positive length"),
            ((*SYSTEM, "--box", 9, 0, 9), "the box is 9 x 0 x 9 angstrom; give three positive lengths"),
            ((*SYSTEM, "--box", 9, 9, 9), "12288 atoms in this box have a density of 16.86, not the 0.1 atoms"),
            ((*SYSTEM, "--processors", 2, 2, 2), "processors 2 2 2 is not a grid of 4 ranks; give three numbers"),
            ((*SYSTEM, "--processors", -2, -2, 1), "processors -2 -2 1 is not a grid of 4 ranks"),
            ((*SYSTEM, "--imbalance", 0.5), "--imbalance is 0.5; give the fullest rank's atoms divided by the mean"),
            ((*SYSTEM, "--rates", "none.json"), "rate file 'none.json' cannot be read; make one with 'tdn plan"),
            (("--measure",), "--measure has no file to write to; add -o rates.json"),
            (("--measure", "-o", "no/rates.json"), "folder 'no' of the file to write does not exist; create it first"),
            (("--measure", "-o", "r.json", "--threads", 0), "--threads is 0; give a whole number of at least 1"),
        ],
    )
    def test_one_sentence(self, plan, arguments, sentence):
        status, text, error = plan(WATER, *arguments)
        assert (status, text) == (1, "")
        assert error.startswith("tdn plan: ") and sentence in error
        assert len(error.splitlines()) == 1

    def test_no_archive(self, plan):
        assert "archive 'none.tdn.pt' does not exist" in plan("none.tdn.pt", *SYSTEM)[2]

    @pytest.mark.parametrize("text", ["many", "1.5"])
    def test_numbers_that_are_not_whole(self, text, capsys):
        with pytest.raises(SystemExit):
            main(["plan", str(WATER), "--atoms", text])
        assert f"invalid whole number value: '{text}'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "is not JSON so it is not a rate file; make one with"),
            ("[1]", "is not a JSON object so it is not a rate file"),
            ("{}", "lacks model, device, threads, dtype, date, edges_per_atom, seconds_fixed, "),
        ],
    )
    def test_no_rate_file(self, tmp_path, text, sentence):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(TDNError, match=sentence):
            read_rates(tmp_path / "r.json")

    @pytest.mark.parametrize("value", [-1.0, float("nan"), "fast", True, None])
    def test_rate_that_is_no_number(self, tmp_path, value):
        (tmp_path / "r.json").write_text(json.dumps(asdict(RATES) | {"bytes_per_edge": value}))
        with pytest.raises(TDNError, match=r"has bytes_per_edge = .*, which is not a measured value; measure it again"):
            read_rates(tmp_path / "r.json")

    def test_bandwidth_of_zero(self, tmp_path):
        replace(RATES, bandwidth=0.0).write(tmp_path / "r.json")
        with pytest.raises(TDNError, match=r"has bandwidth = 0\.0, which is not a measured value"):
            read_rates(tmp_path / "r.json")


class TestMeasuring:
    def test_file_of_this_machine(self, plan, tmp_path):
        path = tmp_path / "rates.json"
        assert plan(WATER, "--measure", "-o", path)[:2] == (0, f"wrote {path}\n")
        rates = read_rates(path)
        assert (rates.model, rates.device, rates.threads, rates.dtype) == ("water", "cpu", 1, "float32")
        assert rates.edges_per_atom == pytest.approx(37.93, abs=0.01)
        assert rates.seconds_per_edge + rates.seconds_per_atom > 0 and rates.bytes_per_edge > 0
        assert "choose another name or allow overwriting" in plan(WATER, "--measure", "-o", path)[2]
        assert set(parse_plan(plan(WATER, *SYSTEM, "--rates", path)[1])) > set(COSTS)

    def test_probe_is_asked_for_the_degree_and_the_precision(self):
        class Fake:
            def __init__(self, *arguments):
                self.arguments = arguments

            def probe(self, degree, n_threads):
                assert (*self.arguments, n_threads) == ("a.tdn.pt", "cuda", "float64", 3)
                seconds = {"seconds_per_atom": next(noise)}
                return dict.fromkeys(measuring.PROBED, degree) | seconds | {"more": 1}

        noise = iter([5.0, 1.0, 2.0, 9.0, 3.0])
        costs = measuring.probe(Fake, "a.tdn.pt", "cuda", "float64", 12.5, 3)
        assert costs == dict.fromkeys(measuring.PROBED, 12.5) | {"seconds_per_atom": 3.0}

    def test_degree(self):
        label = {"cutoff": 3.0, "model_config": {"avg_degree": 18.5}}
        assert measuring.typical_degree(label, None) == 18.5
        assert measuring.typical_degree(label, 0.1) == pytest.approx(0.1 * 4 / 3 * 3.14159265 * 27)
        with pytest.raises(TDNError, match="does not say how many edges an atom had in training; give --density"):
            measuring.typical_degree({"cutoff": 3.0}, None)

    def test_messages_between_two_ranks(self):
        costs = measuring.messages()
        assert 0 < costs["message_latency"] < 1
        assert costs["bandwidth"] > 1e6

    def test_ranks_that_fail_or_hang(self, monkeypatch):
        with pytest.raises(TDNError, match=r"two MPI ranks could not exchange messages \(.+\); check that '.*mpirun"):
            measuring.messages(("-c", "raise SystemExit('no network')"))
        monkeypatch.setattr(measuring, "TIMEOUT", 1.0)
        with pytest.raises(TDNError, match="two MPI ranks did not answer within 1 s; check that"):
            measuring.messages(("-c", "import time; time.sleep(30)"))

    def test_no_mpirun(self, monkeypatch, tmp_path):
        monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
        with pytest.raises(TDNError, match="mpirun' does not exist, so messages cannot be measured; pip install mpich"):
            measuring.messages()
