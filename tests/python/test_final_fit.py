"""The last linear fit of a finished model: references that were fitted move, else the energy scale changes."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from models import random_model
from tiny import crystals, isolated, settings, start, write

import tdn
from tdn.ase import predict
from tdn.checkpoints import training_summary
from tdn.config.run import config_from_dict
from tdn.data import graph_from_atoms
from tdn.data.graph import Graph
from tdn.training.final_fit import reference_shift, scale_factor

ELEMENTS = ("Au", "Cu")


@pytest.fixture(scope="module")
def model():
    return random_model(ELEMENTS, n_channels=8, n_layers=1, radial_hidden=(8, 8), cutoff=3.5)


def off_by(model, frames: list[Atoms], constants: list[float]) -> list[Graph]:
    """Graphs whose energies are the model's and a constant for each atom of each element."""
    graphs = []
    for atoms in frames:
        graph = graph_from_atoms(atoms, model.elements, model.cutoff)
        added = torch.tensor(constants, dtype=torch.float64)[graph.species].sum()
        forces = torch.zeros_like(graph.vectors[:1]).expand(len(atoms), 3)
        graphs.append(replace(graph, energy=model(graph).energy.detach() + added, forces=forces))
    return graphs


def labeled_graph(model, atoms: Atoms) -> Graph:
    """Graph with the labels of EMT."""
    energy = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
    forces = torch.from_numpy(atoms.get_forces())
    return replace(graph_from_atoms(atoms, model.elements, model.cutoff), energy=energy, forces=forces)


class TestReferences:
    def test_constants_of_two_elements_are_found(self, model):
        """Two compositions, one constant each; structures without a label do not count."""
        graphs = off_by(model, crystals(6), [0.3, -0.2])
        graphs[2] = replace(graphs[2], energy=torch.tensor([math.nan], dtype=torch.float64))
        assert reference_shift(model, graphs, 4) == pytest.approx([0.3, -0.2], abs=1e-10)

    def test_one_composition_has_its_mean_moved(self, model):
        """Of all constants that take the mean error to zero the shortest: in proportion to the composition."""
        graphs = off_by(model, crystals(5)[::2], [0.3, -0.2])
        mean = (0.3 - 3 * 0.2) / 4
        gold, copper = reference_shift(model, graphs, 2)
        assert (gold + 3 * copper) / 4 == pytest.approx(mean, abs=1e-10)
        assert copper == pytest.approx(3 * gold, abs=1e-10)

    def test_compositions_that_hardly_differ_do_not_part_elements(self, model):
        """Eight or nine gold atoms of 32: fitted apart, small errors of the energy would make large constants."""
        cells = [crystals(1, seed)[0] for seed in range(4)]
        frames = [cell * (2, 2, 2) for cell in cells]
        for atoms, n_gold in zip(frames, (8, 9, 8, 9), strict=True):
            atoms.symbols[:] = "Cu"
            atoms.symbols[:n_gold] = "Au"
        graphs = off_by(model, frames, [0.0, 0.0])
        graphs = [
            replace(graph, energy=graph.energy + error) for graph, error in zip(graphs, (1, -1, 1, -1), strict=True)
        ]
        assert max(map(abs, reference_shift(model, graphs, 2))) < 2 / 32

    def test_without_energies_nothing_moves(self, model):
        graph = off_by(model, crystals(1), [0.0, 0.0])[0]
        assert reference_shift(model, [replace(graph, energy=graph.energy * math.nan)], 1) == [0.0, 0.0]


class TestScale:
    def test_a_scaled_model_is_found(self, model):
        """Energies above the references and forces by one factor; missing labels do not count."""
        graphs = []
        for index, atoms in enumerate(crystals(4)):
            graph = graph_from_atoms(atoms, model.elements, model.cutoff)
            output = model(graph)
            free = model.references.energies[graph.species].sum()
            energy, forces = 1.25 * (output.energy.detach() - free) + free, 1.25 * output.forces.detach()
            forces[0] = math.nan
            graphs.append(replace(graph, energy=energy * math.nan if index == 1 else energy, forces=forces))
        assert scale_factor(model, graphs, 3, 1.0, 1.0) == pytest.approx(1.25, abs=1e-12)

    def test_the_pair_term_is_not_scaled(self):
        """Labels of a model whose scale is another, on crystals so dense that nuclei repel."""
        model = random_model(ELEMENTS, n_channels=8, n_layers=1, radial_hidden=(8, 8), cutoff=3.5, pair_term="zbl")
        model.set_references([-3.0, -2.0], 0.6)
        other = copy.deepcopy(model)
        other.set_references([-3.0, -2.0], 0.75)
        graphs = []
        for atoms in crystals(3):
            atoms.set_cell(0.8 * atoms.cell, scale_atoms=True)
            graph = graph_from_atoms(atoms, model.elements, model.cutoff)
            output, repulsion = other(graph), model.pair_part(graph)
            assert abs(repulsion.forces).max() > 0.1
            graphs.append(replace(graph, energy=output.energy.detach(), forces=output.forces.detach()))
        assert scale_factor(model, graphs, 2, 1.0, 1.0) == pytest.approx(1.25, abs=1e-10)

    @pytest.mark.parametrize("weights", [(1.0, 0.0), (20.0, 1.0), (0.0, 1.0)])
    def test_no_other_factor_has_a_lower_loss(self, model, weights):
        """Against the loss itself at factors beside it."""
        graphs = [labeled_graph(model, atoms) for atoms in crystals(5)]

        def loss(factor: float) -> float:
            energy, force = [], []
            for graph in graphs:
                output = model(graph)
                free = model.references.energies[graph.species].sum()
                off = factor * (output.energy.detach() - free) + free - graph.energy
                energy.append(off / len(graph.species))
                force.append(factor * output.forces.detach() - graph.forces)
            terms = [torch.cat(values).square().mean().item() for values in (energy, force)]
            return weights[0] * terms[0] + weights[1] * terms[1]

        best = scale_factor(model, graphs, 2, *weights)
        assert loss(best) < min(loss(0.999 * best), loss(1.001 * best))

    def test_without_labels_nothing_changes(self, model):
        graph = off_by(model, crystals(1), [0.0, 0.0])[0]
        nothing = replace(graph, energy=graph.energy * math.nan, forces=graph.forces * math.nan)
        assert scale_factor(model, [nothing], 1, 1.0, 1.0) == 1.0


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return crystals(8)


@pytest.fixture(scope="module", params=["isolated atoms", "least squares"])
def folders(request, frames, tmp_path_factory) -> dict[str, Path]:
    """Folders of a run with and of one without the last fit, for both kinds of references."""
    made = {}
    free = [isolated(element) for element in ELEMENTS] if request.param == "isolated atoms" else []
    for name, options in (("fitted", {}), ("plain", {"final_fit": False})):
        made[name] = tmp_path_factory.mktemp(name)
        write(made[name] / "train.xyz", [*frames, *free])
        lines = start(made[name], settings(**options))
        assert any(line.startswith(f"reference energies from {request.param}") for line in lines)
        assert any("final fit" in line for line in lines) == (name == "fitted")
    return made


def loss_of(path: Path, frames: list[Atoms]) -> float:
    """Mean squared errors of energies per atom (weight 20) and forces, of all structures, held out ones too."""
    pairs = list(zip(predict(path, frames), frames, strict=True))
    energies = [(a.get_potential_energy() - b.get_potential_energy()) / len(b) for a, b in pairs]
    forces = np.concatenate([a.get_forces() - b.get_forces() for a, b in pairs])
    return 20.0 * np.square(energies).mean() + np.square(forces).mean()


class TestRun:
    def test_errors_gain(self, folders, frames):
        fitted, plain = (loss_of(folders[name] / "run" / "best.ckpt", frames) for name in ("fitted", "plain"))
        assert fitted < plain

    def test_nothing_but_scale_or_references_changes(self, folders):
        """And the summary tells the references as they are."""
        fitted, plain = (tdn.load(folders[name] / "run" / "best.ckpt") for name in ("fitted", "plain"))
        summary = training_summary(folders["fitted"] / "run" / "best.ckpt")
        states = fitted.state_dict(), plain.state_dict()
        changed = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
        by_scale = summary["references_from"] == "isolated atoms"
        assert changed == {"network.references.scale" if by_scale else "network.references.energies"}
        assert summary["energy_scale"] == fitted.references.scale.item()
        assert list(summary["references"].values()) == fitted.references.energies.tolist()

    def test_the_checkpoint_tells_its_errors(self, folders):
        best = folders["fitted"] / "run" / "best.ckpt"
        told, before = (training_summary(path)["errors"]["valid"] for path in (best, best.with_name("last.ckpt")))
        assert set(told) == set(before)
        assert told["energy_rmse"] != before["energy_rmse"]

    def test_twice_is_once(self, folders):
        """A finished run that is resumed ends at once with the same model."""
        before = tdn.load(folders["fitted"] / "run" / "best.ckpt").state_dict()
        start(folders["fitted"], settings(), resume=True)
        after = tdn.load(folders["fitted"] / "run" / "best.ckpt").state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_the_published_training_does_without(self):
        assert not config_from_dict(settings(preset="paper")).training.final_fit
