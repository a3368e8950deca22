"""``tdn.train``, ``tdn.deploy`` and ``tdn.evaluate`` do what the commands do; ``import tdn`` loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from tiny import crystals, labeled, settings, write

import tdn
from tdn.config.run import config_from_dict
from tdn.data.source import open_source
from tdn.errors import TDNError

CONTENT = settings(max_epochs=2) | {"run_dir": "run"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run from a file, deployed."""
    folder = tmp_path_factory.mktemp("doors")
    write(folder / "train.xyz", crystals(8))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONTENT))
    result = tdn.train(folder / "config.yaml")
    tdn.deploy(result.checkpoint, folder / "cu.tdn.pt", structures=ase.io.read(folder / "train.xyz", ":1"))
    return result


def test_what_a_run_returns(trained):
    assert trained.folder.name == "run" and trained.checkpoint.is_file()
    assert {"energy_mae", "force_rmse"} <= trained.errors.keys()
    assert tdn.load(trained.checkpoint).elements == ("Cu", "Au")


@pytest.mark.parametrize("form", [dict, config_from_dict])
def test_other_forms_of_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained, form: Callable):
    """The same run, so the same numbers."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.xyz", crystals(8))
    result = tdn.train(form(CONTENT))
    assert result.checkpoint.resolve() == tmp_path / "run" / "best.ckpt"
    assert result.errors == pytest.approx(trained.errors, rel=1e-9)
    with pytest.raises(TDNError, match="exists"):
        tdn.train(form(CONTENT))


@pytest.mark.parametrize("name", ["run/best.ckpt", "cu.tdn.pt"])
def test_forms_of_models_and_data(trained, name: str):
    folder = trained.folder.parent
    path, data = folder / name, folder / "train.xyz"
    expected = tdn.evaluate(path, data)
    assert (expected.n_structures, expected.errors["force_mae"] > 0) == (8, True)
    forms: list[Any] = [str(data), {"path": data, "format": "xyz"}, [data], open_source(str(data))]
    for form in forms:
        assert tdn.evaluate(tdn.load(path), form).errors == pytest.approx(expected.errors, rel=1e-9)
    assert tdn.evaluate(path, [data, data], limit=2).n_structures == 2


class TestStructuresOfAse:
    """Beside files, ``tdn.evaluate`` takes structures with their labels."""

    def test_forms(self, trained):
        folder = trained.folder.parent
        frames = ase.io.read(folder / "train.xyz", ":")
        ase.io.write(folder / "frames.traj", frames)
        for model in (trained.checkpoint, folder / "cu.tdn.pt"):
            expected = tdn.evaluate(model, folder / "train.xyz")
            with ase.io.Trajectory(folder / "frames.traj") as trajectory:
                found_of = [tdn.evaluate(model, form) for form in (frames, tuple(frames), iter(frames), trajectory)]
            for found in found_of:
                assert found.errors == pytest.approx(expected.errors, rel=1e-9)
                assert found.by_force == expected.by_force
        assert tdn.evaluate(model, frames[3]).n_structures == 1
        assert tdn.evaluate(model, frames, limit=3).n_structures == 3

    def test_results_of_a_calculator(self, trained):
        """Of the model itself: no error; of constraints: no labels of held atoms."""
        predicted = tdn.ase.predict(trained.checkpoint, crystals(3))
        predicted[0].set_constraint(FixAtoms([0]))
        found = tdn.evaluate(trained.checkpoint, predicted)
        assert max(found.errors.values()) < 1e-6
        assert sum(row["atoms"] for row in found.by_element) == sum(map(len, predicted)) - 1

    def test_names_that_are_not_read_are_noted(self, trained):
        frames = crystals(2)
        frames[1].info["REF_energy"] = 1.0
        (note,) = tdn.evaluate(trained.checkpoint, frames).notes
        assert note.startswith("Note: names that look like labels are not read: REF_energy (in 1)")

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda one: one.rattle(0.1), "structure 1: its positions changed after its labels were calculated; calc"),
            (lambda one: one.set_cell(2 * one.cell), "structure 1: its cell changed after its labels were calculated"),
            (lambda one: one.symbols.__setitem__(0, "Au"), "structure 1: its numbers changed after its labels"),
            (lambda one: setattr(one, "calc", None), "structure 1: the structure has neither energy nor forces; name"),
            (lambda one: setattr(one, "calc", EMT()), "structure 1: the structure has neither energy nor forces; name"),
            (lambda one: one.calc.results.update(energy=np.nan), "structure 1: its energy hold a value that is not a"),
            (lambda one: one.calc.results.update(forces=np.zeros((1, 3))), "structure 1: its forces have shape"),
        ],
    )
    def test_what_is_refused(self, trained, change, sentence):
        frames = crystals(3)
        frames[1].symbols[0] = "Cu"
        frames[1] = labeled(frames[1])
        change(frames[1])
        with pytest.raises(TDNError, match=f"^{sentence}"):
            tdn.evaluate(trained.checkpoint, frames)

    def test_lists_that_are_refused(self, trained):
        with pytest.raises(TDNError, match="files and structures in one list; evaluate them one after the other"):
            tdn.evaluate(trained.checkpoint, [*crystals(1), trained.folder.parent / "train.xyz"])
        with pytest.raises(TDNError, match=r"data are given as \[\]; give a path"):
            tdn.evaluate(trained.checkpoint, [])
        with pytest.raises(TDNError, match=r"data are given as 7; give a path"):
            tdn.evaluate(trained.checkpoint, 7)


def test_archive_and_checkpoint_agree(trained):
    folder = trained.folder.parent
    atoms = ase.io.read(folder / "train.xyz", "0")
    forces = [tdn.TDNCalculator(folder / name).get_forces(atoms) for name in ("run/best.ckpt", "cu.tdn.pt")]
    np.testing.assert_allclose(*forces, rtol=0, atol=1e-5)


def test_precision_is_checked(trained, tmp_path: Path):
    with pytest.raises(TDNError, match="dtype is 'half'; use 'float32' or 'float64'"):
        tdn.deploy(trained.checkpoint, tmp_path / "a.tdn.pt", dtype="half")
    tdn.deploy(trained.checkpoint, tmp_path / "a.tdn.pt", dtype="float32")
    assert str(tdn.load(tmp_path / "a.tdn.pt").dtype) == "torch.float32"


def test_import_loads_neither_torch_nor_ase():
    code = (
        "import sys, tdn\n"
        "assert {'train', 'deploy', 'evaluate', 'load', 'TDNCalculator'} <= set(dir(tdn))\n"
        "print([name for name in ('torch', 'ase', 'numpy', 'yaml', 'pydantic') if name in sys.modules])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.parametrize("order", ["from tdn.deployment.write import write_archive\n", ""])
def test_deploy_stays_a_function(order: str):
    code = f"import tdn\nbefore = tdn.deploy\n{order}import tdn.evaluation.evaluate, tdn.training.run\n"
    code += (
        "assert callable(tdn.deploy) and tdn.deploy is before\nassert callable(tdn.train) and callable(tdn.evaluate)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
