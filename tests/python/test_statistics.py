"""What a run takes from its data: averages, distances, samples of large data, graphs in memory or built when asked."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from tiny import changed, crystals, history, isolated, settings, start, write
from torch.utils.data import DataLoader

from tdn.checkpoints import training_summary
from tdn.config.run import config_from_dict
from tdn.data import Structure, collate, graph_from_structure, open_source
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.graphs import GraphSet, size_of, spread
from tdn.data.loaded import Loaded
from tdn.data.source import Concatenation, Subset
from tdn.statistics.collect import Collector, collect, read_cache, sampled
from tdn.training.prepare import notes, prepare_data, unlearned_elements

ELEMENTS = ("Cu", "Au")


@pytest.fixture
def source(tmp_path):
    return open_source(str(write(tmp_path / "train.xyz", crystals(6))))


@pytest.fixture
def no_plots(monkeypatch):
    for name in ("plot_learning_curve", "plot_parity"):
        monkeypatch.setattr(f"tdn.training.run.{name}", lambda *_: None)


class TestStatistics:
    def test_averages_and_distances(self, source):
        graphs = [graph_from_structure(structure, ELEMENTS, 3.5) for structure in source]
        statistics = collect(graphs, [], ELEMENTS, "auto")
        joined = collate(graphs)
        assert statistics.n_structures == 6
        assert statistics.average_atoms == 4.0
        assert statistics.average_edges == len(joined.center) / 6
        assert statistics.average_degree == len(joined.center) / 24
        assert statistics.scale == pytest.approx(float(joined.forces.square().mean().sqrt()))
        assert statistics.labels == {"energies": 6, "forces": 6, "stress": 6}
        assert statistics.min_distance == pytest.approx(float(joined.vectors.norm(dim=1).min()))

    def test_shortest_distance_of_each_pair_of_elements(self):
        def water(shift):
            atoms = molecule("H2O")
            atoms.positions[0] += [0.0, 0.0, shift]
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
            return Structure.from_atoms(atoms)

        structures = [water(0.0), water(0.05)]
        graphs = [graph_from_structure(structure, ("H", "C", "O"), 4.0) for structure in structures]
        distances = collect(graphs, [], ("H", "C", "O"), "auto").min_distances
        pairs = [Atoms("H2O", s.positions[[1, 2, 0]]).get_all_distances() for s in structures]
        assert set(distances) == {"H-H", "H-O"}
        assert distances["H-H"] == pytest.approx(min(d[0, 1] for d in pairs))
        assert distances["H-O"] == pytest.approx(min(min(d[0, 2], d[1, 2]) for d in pairs))

    def test_they_stand_in_the_checkpoint(self, tmp_path, no_plots):
        write(tmp_path / "train.xyz", crystals(6))
        start(tmp_path, settings(max_epochs=1))
        summary = training_summary(tmp_path / "run" / "last.ckpt")
        assert set(summary["min_distances"]) == {"Cu-Cu", "Cu-Au", "Au-Au"}
        assert min(summary["min_distances"].values()) == summary["min_distance"]

    def test_nothing(self):
        empty = Collector(ELEMENTS).result("auto", [])
        assert (empty.min_distance, empty.references, empty.scale) == (0.0, [0.0, 0.0], 1.0)


class TestSamples:
    def test_all_of_a_small_source(self, source):
        assert sampled(source, 6) == list(range(6))
        assert sampled(source, 100) == list(range(6))

    def test_a_random_choice_of_a_large_one_is_the_same_each_time(self, source):
        chosen = sampled(source, 3)
        assert chosen == sampled(source, 3)
        assert 1 <= len(chosen) <= 3 and set(chosen) <= set(range(6))

    def test_small_parts_of_joined_sources_are_read_as_a_whole(self, source):
        joined = Concatenation([source] * 5 + [Subset(source, [0])])
        assert len(joined) - 1 in sampled(joined, 6)
        part = Subset(joined, np.arange(len(joined)))
        assert len(joined) - 1 in sampled(part, 6)
        assert len(sampled(part, 12)) == 11  # two of each large part

    def test_spread(self):
        assert spread(3, 5) == [0, 1, 2]
        assert spread(101, 3) == [0, 50, 100]


class TestGraphSet:
    def test_kept_and_built_graphs_are_the_same(self, source):
        built = GraphSet(source, ELEMENTS, 3.5)
        kept = built.keep_if_small(1e9)
        assert kept.kept is not None and built.keep_if_small(10.0).kept is None
        for first, second in zip(built.above([-1.0, -2.0]), kept.above([-1.0, -2.0]), strict=True):
            for name, value in vars(first).items():
                assert (
                    value == getattr(second, name) if name == "n_graphs" else torch.equal(value, getattr(second, name))
                )
        assert kept.edge_counts() == [len(graph.center) for graph in kept.kept]
        assert built.edge_counts() is None

    def test_limit_is_the_memory_of_all_graphs(self, source):
        graphs = GraphSet(source, ELEMENTS, 3.5)
        needed = sum(size_of(graph) for graph in graphs)
        assert graphs.keep_if_small(1.2 * needed).kept is not None
        assert graphs.keep_if_small(0.8 * needed).kept is None

    def test_energies_above_references(self, source):
        graphs = GraphSet(source, ELEMENTS, 3.5)
        expected = source[0].energy - (-1.0 * 3 - 2.0 * 1)
        assert float(graphs.above([-1.0, -2.0])[0].energy) == pytest.approx(expected)
        assert float(graphs[0].energy) == source[0].energy

    def test_negative_index_is_a_structure_without_labels(self, source):
        blank = GraphSet(source, ELEMENTS, 3.5)[~2]
        assert torch.equal(blank.species, GraphSet(source, ELEMENTS, 3.5)[2].species)
        assert blank.energy.isnan().all() and blank.forces.isnan().all() and not blank.has_stress.any()

    def test_workers_build_the_same_graphs(self, source):
        graphs = GraphSet(source, ELEMENTS, 3.5)
        loader = DataLoader(graphs, batch_size=2, collate_fn=collate, num_workers=1)
        for batch, first in zip(loader, range(0, 6, 2), strict=True):
            expected = collate([graphs[first], graphs[first + 1]])
            assert torch.equal(batch.vectors, expected.vectors) and torch.equal(batch.energy, expected.energy)

    def test_loaded_source_is_the_source(self, source):
        loaded = Loaded(source)
        assert len(loaded) == 6 and loaded.elements() == ("Cu", "Au")
        assert (loaded.file_names, loaded.fingerprint()) == (source.file_names, source.fingerprint())
        np.testing.assert_array_equal(loaded[3].positions, source[3].positions)


class TestLargeData:
    """The same run when neither structures nor graphs are to be kept in memory."""

    def content(self, **data):
        content = settings(max_epochs=2)
        return changed(content, "data", valid="valid.xyz", sample=5, memory=0.0, **data)

    @pytest.fixture
    def folder(self, tmp_path, no_plots):
        write(tmp_path / "train.xyz", crystals(9))
        write(tmp_path / "valid.xyz", crystals(3, seed=5))
        return tmp_path

    def test_it_learns_the_same_from_the_same_constants(self, folder):
        given = {"references": {"Cu": 0.1, "Au": 0.2}}
        start(folder, changed(settings(max_epochs=2), "data", valid="valid.xyz", **given))
        start(folder, self.content(**given) | {"run_dir": "large"})
        summaries = [training_summary(folder / name / "last.ckpt") for name in ("run", "large")]
        assert summaries[0]["n_train"] == summaries[1]["n_train"] == 9
        assert summaries[0]["min_distance"] <= summaries[1]["min_distance"]  # seen in a sample only

    def test_workers_change_nothing(self, folder):
        start(folder, self.content())
        start(folder, changed(self.content(), "training", workers=1) | {"run_dir": "workers"})
        first, second = (training_summary(folder / name / "last.ckpt") for name in ("run", "workers"))
        assert first["errors"] == second["errors"]

    def test_statistics_are_kept_until_data_or_options_change(self, folder):
        config = config_from_dict(self.content(cache="cache"), folder)
        first = prepare_data(config).statistics
        (path,) = (folder / "cache").iterdir()
        assert read_cache(path) == first
        path.write_text(json.dumps({**json.loads(path.read_text()), "scale": 123.0}))
        assert prepare_data(config).statistics.scale == 123.0
        other = replace(config, data=replace(config.data, references={"Cu": 0.0, "Au": 0.0}))
        assert prepare_data(other).statistics.scale != 123.0
        write(folder / "train.xyz", crystals(10))
        assert prepare_data(config).statistics.scale != 123.0

    def test_broken_cache_is_made_anew(self, folder):
        config = config_from_dict(self.content(cache="cache"), folder)
        first = prepare_data(config).statistics
        (path,) = (folder / "cache").iterdir()
        path.write_text("{")
        assert prepare_data(config).statistics == first

    def test_isolated_atoms_in_a_file_of_their_own_give_references(self, folder):
        write(folder / "atoms.xyz", [isolated("Cu"), isolated("Au")])
        content = self.content(references="auto")
        content = changed(content, "data", train=["train.xyz", "atoms.xyz"])
        statistics = prepare_data(config_from_dict(content, folder)).statistics
        assert statistics.references_from == "isolated atoms"
        assert statistics.references[1] == pytest.approx(isolated("Au").get_potential_energy())


def shifted(atoms: Atoms, seed: int) -> Structure:
    """The molecule with its atoms moved a little, and made-up labels."""
    atoms.rattle(0.05, seed=seed)
    forces = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-3000.0 + 0.1 * seed, forces=forces)
    return Structure.from_atoms(atoms)


class TestSplit:
    def test_trajectories_stay_together(self, tmp_path, monkeypatch):
        write(tmp_path / "train.xyz", crystals(12))
        groups = np.repeat([7, 3, 9, 1], 3)
        monkeypatch.setattr(Loaded, "get_groups", lambda self: groups)
        data = prepare_data(config_from_dict(settings(), tmp_path))
        train, valid = (set(part.source.get_groups()) for part in (data.train, data.valid))
        assert len(valid) == 1 and len(train) == 3 and not train & valid

    def test_molecules_of_a_shard_stay_together(self, tmp_path, no_plots):
        """An indexed shard, read by a worker while training, with averages of a sample."""
        steps = [[shifted(molecule("CH3OH"), 10 * cid + k) for k in range(4)] for cid in range(6)]
        write_pubchemqcr(tmp_path / "a.lmdb", ((cid, {"DFT_1st": steps[cid]}) for cid in range(6)))
        content = changed(settings(max_epochs=1, workers=1, batch_size=8), "data", train="a.lmdb", valid=0.34)
        content = changed(content, "data", sample=5, memory=0.0)
        lines = start(tmp_path, content)
        assert "16 training and 8 validation structures, 5.0 neighbors" in lines
        summary = training_summary(tmp_path / "run" / "last.ckpt")
        assert summary["elements"] == ["H", "C", "O"]
        assert set(summary["min_distances"]) == {"H-H", "H-C", "H-O", "C-O"}

    def test_mapping_and_lists_of_specifications(self, tmp_path, no_plots):
        write(tmp_path / "a.xyz", crystals(3))
        write(tmp_path / "b.extxyz", crystals(3, seed=1))
        content = changed(settings(max_epochs=1), "data", train=["a.xyz", {"path": "b.extxyz", "format": "xyz"}])
        start(tmp_path, content)
        assert training_summary(tmp_path / "run" / "last.ckpt")["files"]["train"] == ["a.xyz", "b.extxyz"]
        assert len(history(tmp_path)) == 1


class TestUnlearnedElements:
    """Elements that no training structure shows beside another atom keep random weights."""

    def data(self, folder, elements, alone=()):
        write(folder / "train.xyz", [*crystals(6), *(isolated(symbol) for symbol in alone)])
        return prepare_data(config_from_dict(changed(settings(), "model", elements=elements), folder))

    @pytest.mark.parametrize("alone", [(), ("Cu", "Au", "Ag")], ids=["not in the data", "isolated atoms only"])
    def test_warning(self, tmp_path, alone):
        (line,) = (line for line in notes(self.data(tmp_path, ["Cu", "Au", "Ag"], alone)) if "random" in line)
        assert line.startswith("Warning: no training structure has Ag beside another atom")

    def test_no_warning(self, tmp_path):
        assert not any("random" in line for line in notes(self.data(tmp_path, ["Au", "Cu"])))

    def test_the_initial_model_may_know_them(self, tmp_path):
        statistics = self.data(tmp_path, ["Cu", "Au"]).statistics
        assert unlearned_elements(("Cu", "Au", "Ag", "Pt"), statistics, ("Cu", "Ag")) == ["Pt"]
