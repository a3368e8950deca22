"""What training makes of different labels: stress, forces or energies alone, structures without neighbors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from tiny import changed, crystals, history, isolated, labeled, settings, start, write

from tdn.checkpoints import training_summary
from tdn.errors import TDNError


@pytest.fixture
def folder(tmp_path) -> Path:
    """Folder with a training file and no run."""
    write(tmp_path / "train.xyz", crystals(6))
    return tmp_path


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots take most of the time of so short a run."""
    for name in ("plot_learning_curve", "plot_parity"):
        monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)


class TestLearning:
    def test_stress_labels_are_learned(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(8))
        start(tmp_path, settings(max_epochs=20, learning_rate=0.03))
        rows = history(tmp_path)
        for part in ("train", "valid"):
            assert rows[-1][f"{part}_loss"] < 0.5 * rows[0][f"{part}_loss"]
            assert rows[-1][f"{part}_stress_rmse"] < 0.7 * rows[0][f"{part}_stress_rmse"]

    def test_only_some_structures_have_stress(self, tmp_path):
        plain = crystals(3, seed=1, properties=("energy", "forces"))
        write(tmp_path / "train.xyz", crystals(3) + plain)
        start(tmp_path, settings(max_epochs=1))
        assert "train_stress_rmse" in history(tmp_path)[0]

    def test_forces_alone(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(6, properties=("forces",)))
        start(tmp_path, settings(max_epochs=1))
        (row,) = history(tmp_path)
        assert "train_force_rmse" in row
        assert "train_energy_rmse" not in row

    def test_energies_alone(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(6, properties=("energy",)))
        start(tmp_path, settings(max_epochs=1))
        assert "train_force_rmse" not in history(tmp_path)[0]

    def test_forces_under_another_name_are_told(self, tmp_path):
        frames = crystals(6, properties=("energy",))
        for atoms in frames:
            atoms.arrays["dft_forces"] = 0.0 * atoms.positions
            atoms.info["virial"] = np.eye(3)
        write(tmp_path / "train.xyz", frames)
        lines = start(tmp_path, settings(max_epochs=1))
        assert "labels: energies 6, forces 0, stress 0" in lines
        assert (
            "Note: names that look like labels are not read: dft_forces (in 6), virial (in 6); "
            "select them with forces_key and stress_key."
        ) in lines

    def test_labels_are_counted(self, tmp_path):
        write(tmp_path / "train.xyz", crystals(4) + crystals(2, seed=1, properties=("energy", "forces")))
        lines = start(tmp_path, settings(max_epochs=1))
        assert "labels: energies 6, forces 6, stress 4" in lines
        assert not any("not read" in line for line in lines)

    def test_isolated_atoms_of_some_elements_are_told(self, tmp_path):
        write(tmp_path / "train.xyz", [*crystals(4), isolated("Cu")])
        lines = start(tmp_path, settings(max_epochs=1))
        assert (
            "Note: isolated atoms of Cu were found, none of Au; they are left out and least squares is used." in lines
        )

    def test_direct_forces_are_learned_when_asked_for(self, folder):
        content = changed(settings(max_epochs=20, learning_rate=0.03), "model", direct_forces=True, forces="direct")
        start(folder, content)
        rows = history(folder)
        assert rows[-1]["train_force_rmse"] < rows[0]["train_force_rmse"]

    def test_structures_without_neighbors(self, tmp_path):
        far = Atoms("CuAu", [[0, 0, 0], [20, 0, 0]])
        write(tmp_path / "train.xyz", crystals(4) + [labeled(far, ("energy", "forces"))] * 2)
        start(tmp_path, settings(max_epochs=1, batch_size=1))
        assert torch.tensor(history(tmp_path)[0]["train_loss"]).isfinite()

    def test_files_for_validation(self, folder):
        write(folder / "valid.xyz", crystals(2, seed=5))
        start(folder, changed(settings(max_epochs=1), "data", valid="valid.xyz"))
        summary = training_summary(folder / "run" / "last.ckpt")
        assert (summary["n_train"], summary["n_valid"]) == (6, 2)
        assert summary["files"] == {"train": ["train.xyz"], "valid": ["valid.xyz"]}

    def test_time_limit_ends_the_run(self, folder):
        start(folder, settings(max_epochs=1000, max_time=1e-4))
        assert len(history(folder)) < 10

    def test_loss_that_is_not_a_number(self, folder):
        with pytest.raises(TDNError, match=r"the loss is (nan|inf) in step \d+; lower training\.learning_rate"):
            start(folder, settings(learning_rate=1e200, ema_decay=0.0, clip=0.0, warmup=0.0))
