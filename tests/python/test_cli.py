"""The command ``tdn``: the whole way on a tiny run, and one sentence with exit status 1 for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny import crystals, settings, write

import tdn
from tdn.checkpoints import load_model
from tdn.cli import COMMANDS, build_parser, main
from tdn.interop import load_airs

PUBLISHED = "tdn_C32_L1_N2.state_dict.pt"


def write_config(folder: Path, **training) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(settings(**training)))
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A trained checkpoint and its archive, made by the commands."""
    folder = tmp_path_factory.mktemp("cli")
    write(folder / "train.xyz", crystals(6))
    assert main(["train", str(write_config(folder, max_epochs=2))]) == 0
    assert main(["deploy", str(folder / "run" / "best.ckpt"), "-o", str(folder / "cu.tdn.pt")]) == 0
    return folder


@pytest.fixture
def mistake(capsys):
    """Run a command that must fail; returns its sentence."""

    def run(*arguments) -> str:
        status = main([str(argument) for argument in arguments])
        output = capsys.readouterr().err
        assert status == 1
        assert output.startswith(f"tdn {arguments[0]}: ")
        assert "Traceback" not in output
        return output

    return run


@pytest.fixture
def answer(capsys):
    """Run a command that must succeed; returns what it prints."""

    def run(*arguments) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run


class TestHelp:
    @pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["inspect", "--help"]])
    def test_answers_without_torch(self, arguments):
        code = (
            "import sys\nfrom tdn.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
            "assert not {'torch', 'ase', 'pydantic', 'numpy'} & set(sys.modules)\n"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        assert "tdn" in result.stdout

    def test_every_command_is_listed(self, capsys):
        with pytest.raises(SystemExit):
            main(["--help"])
        text = capsys.readouterr().out
        assert all(name.replace("_", "-") in text for name in COMMANDS)

    @pytest.mark.parametrize(
        "arguments", [[], ["trian"], ["deploy", "a.ckpt"], ["train", "a", "--resume", "--overwrite"]]
    )
    def test_usage_errors_have_status_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: tdn" in capsys.readouterr().err

    def test_interruption_has_status_130(self, monkeypatch):
        def interrupted(_):
            raise KeyboardInterrupt

        monkeypatch.setattr("tdn.cli.inspect.run", interrupted)
        assert main(["inspect", "a.tdn.pt"]) == 130


class TestWholeWay:
    def test_train(self, tmp_path, answer):
        write(tmp_path / "train.xyz", crystals(6))
        config = write_config(tmp_path, max_epochs=2)
        text = answer("train", config)
        assert "4 training and 2 validation structures" in text
        assert "epoch 2/2 | " in text
        assert "best model" in text
        text = answer("train", write_config(tmp_path, max_epochs=3), "--resume")
        assert "epoch 3/3 | " in text
        assert "epoch 2/" not in text
        assert "epoch 1/1 | " in answer("train", write_config(tmp_path, max_epochs=1), "--overwrite")

    def test_evaluate_prints_the_same_for_checkpoint_and_archive(self, run_folder, answer):
        data = run_folder / "train.xyz"
        errors = [
            json.loads(answer("evaluate", run_folder / model, data, "--json"))
            for model in ("run/best.ckpt", "cu.tdn.pt")
        ]
        first, second = ({k: v for k, v in e.items() if k.endswith(("_mae", "_rmse"))} for e in errors)
        assert first == pytest.approx(second, rel=1e-8)
        assert errors[0]["n_structures"] == 6
        assert {"energy_mae", "force_rmse", "stress_rmse"} <= set(errors[0])

    def test_evaluate_table_and_plot(self, run_folder, tmp_path, answer):
        text = answer("evaluate", run_folder / "cu.tdn.pt", run_folder / "train.xyz", "--plot", tmp_path / "p.png")
        assert "6 structures (24 atoms) of train.xyz" in text
        assert "meV/angstrom^3" in text
        assert (tmp_path / "p.png").stat().st_size > 1000

    def test_deploy_prints_the_verdicts(self, run_folder, tmp_path, answer):
        output = tmp_path / "a.tdn.pt"
        check = run_folder / "train.xyz"
        text = answer("deploy", run_folder / "run" / "best.ckpt", "-o", output, "--dtype", "float32", "--check", check)
        assert "forces: deployed (fused) - eager float64" in text
        assert "FAILED" not in text
        assert f"wrote {output}" in text
        assert tdn.load(output).dtype == torch.float32

    def test_inspect(self, run_folder, answer):
        text = answer("inspect", run_folder / "cu.tdn.pt")
        for line in ("format: tdn", "model_name: cu", "elements: Cu Au", "cutoff: 3.5", "dtype: float64"):
            assert line in text.splitlines()
        label = json.loads(answer("inspect", run_folder / "cu.tdn.pt", "--json"))
        assert label["training"]["n_train"] == 4
        assert label["min_distance"] == label["training"]["min_distance"] > 2.0
        assert min(label["min_distances"].values()) == label["min_distance"]


class TestMistakes:
    def test_train(self, run_folder, tmp_path, mistake):
        assert "does not exist; give the path of a YAML file" in mistake("train", tmp_path / "none.yaml")
        assert "data file" in mistake("train", write_config(tmp_path))
        assert "exists; continue with --resume" in mistake("train", run_folder / "train.yaml")
        (tmp_path / "train.yaml").write_text("run_dir: run\nmodel:\n  lmx: 2\ndata:\n  train: a.xyz\n")
        sentence = "tdn train: unknown option 'lmx' in model (did you mean 'l_max'?)"
        assert mistake("train", tmp_path / "train.yaml").startswith(sentence)

    def test_evaluate(self, run_folder, tmp_path, mistake):
        model, data = run_folder / "cu.tdn.pt", run_folder / "train.xyz"
        assert "does not exist; give a checkpoint or an archive" in mistake("evaluate", tmp_path / "none", data)
        assert "does not exist" in mistake("evaluate", model, tmp_path / "none.xyz")
        assert "--batch-size is 0; give a positive number" in mistake("evaluate", model, data, "--batch-size", 0)
        plot = tmp_path / "none" / "p.png"
        # the missing model would be told if anything were done before
        assert "create it first" in mistake("evaluate", tmp_path / "none", data, "--plot", plot)
        silicon = tmp_path / "si.xyz"
        silicon.write_text("1\nProperties=species:S:1:pos:R:3 energy=1.0\nSi 0 0 0\n")
        assert "structure 0 of si.xyz: element Si is not in the model" in mistake("evaluate", model, silicon)

    def test_deploy(self, run_folder, tmp_path, mistake):
        checkpoint, archive = run_folder / "run" / "best.ckpt", run_folder / "cu.tdn.pt"
        before = archive.read_bytes()
        assert "already exists" in mistake("deploy", checkpoint, "-o", archive)
        assert archive.read_bytes() == before
        output = tmp_path / "a.tdn.pt"
        assert "does not exist" in mistake("deploy", tmp_path / "none.ckpt", "-o", output)
        assert "cannot be read as a checkpoint" in mistake("deploy", archive, "-o", output)
        assert "does not exist" in mistake("deploy", checkpoint, "-o", output, "--check", tmp_path / "none.xyz")
        assert "create it first" in mistake("deploy", checkpoint, "-o", tmp_path / "none" / "a.tdn.pt")
        assert not output.exists()

    def test_inspect(self, run_folder, tmp_path, mistake):
        assert "does not exist; make one with 'tdn deploy" in mistake("inspect", tmp_path / "none.tdn.pt")
        assert "has no record metadata.json" in mistake("inspect", run_folder / "run" / "best.ckpt")
        assert "is not a complete archive" in mistake("inspect", run_folder / "train.xyz")

    def test_import_airs(self, run_folder, tmp_path, mistake):
        output = tmp_path / "a.ckpt"
        assert "does not exist; give the .pth file" in mistake("import-airs", tmp_path / "none.pth", "-o", output)
        assert "cannot be read as a checkpoint" in mistake("import-airs", run_folder / "train.xyz", "-o", output)
        other = run_folder / "run" / "best.ckpt"
        assert "does not hold the tensors of the published" in mistake("import-airs", other, "-o", output)
        assert not output.exists()


@pytest.fixture
def published(shared_data) -> Path:
    path = shared_data / "official-tdn" / PUBLISHED
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the reference data")
    return path


class TestImportAirs:
    def test_import_deploy_inspect(self, published, tmp_path, answer, mistake):
        checkpoint, archive = tmp_path / "a.ckpt", tmp_path / "a.tdn.pt"
        text = answer("import-airs", published, "-o", checkpoint)
        assert f"wrote {checkpoint}: 2 layers, 32 channels, l_max 1" in text
        assert "already exists" in mistake("import-airs", published, "-o", checkpoint)
        assert "FAILED" not in answer("deploy", checkpoint, "-o", archive)
        lines = answer("inspect", archive).splitlines()
        assert "energy_convention: per_atom" in lines
        assert "smooth_cutoff: False" in lines
        assert "force_kinds: direct gradient" in lines

    def test_options_reach_the_model(self, published, tmp_path, answer):
        checkpoint = tmp_path / "a.ckpt"
        options = ("--cutoff", 5.0, "--avg-nodes", 30.0, "--avg-degree", 16.7, "--forces", "gradient")
        answer("import-airs", published, "-o", checkpoint, *options)
        model = load_model(checkpoint)
        expected = load_airs(published, cutoff=5.0, avg_num_nodes=30.0, avg_degree=16.7, forces="gradient")
        assert model.config == expected.config
        state = model.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in expected.state_dict().items())


def test_parser_gives_every_command_a_function():
    parser = build_parser()
    assert parser.parse_args(["inspect", "a"]).run is not None
    assert parser.prog == "tdn"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads(run_folder, unbuffered):
    """As in ``tdn inspect FILE | head -1``."""
    command = [sys.executable, "-m", "tdn.cli", "inspect", str(run_folder / "cu.tdn.pt")]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, timeout=60)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_pipe_that_breaks_elsewhere_is_not_hidden(monkeypatch):
    def broken(_):
        raise BrokenPipeError("a worker has ended")

    monkeypatch.setattr("tdn.cli.inspect.run", broken)
    with pytest.raises(BrokenPipeError, match="worker"):
        main(["inspect", "model.tdn.pt"])
