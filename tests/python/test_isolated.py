"""Structures of one atom: isolated or not, and energies that disagree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import bulk
from molecules import Grouped, molecule
from tiny import changed, crystals, isolated, labeled, settings, start, write

from tdn.cli import main
from tdn.data import graph_from_atoms, graph_from_structure
from tdn.data.atoms_source import AtomsSource
from tdn.data.formats.oc_write import CatalystEntry, write_oc_rows
from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.graph import collate
from tdn.data.graphs import GraphSet, spread
from tdn.data.loaded import Loaded
from tdn.data.source import Concatenation, Subset, open_source
from tdn.data.structure import Structure
from tdn.errors import TDNError
from tdn.statistics.collect import sampled
from tdn.statistics.isolated import nearest_image, single_atom
from tdn.training.isolated import IsolatedAtoms, isolated_in
from tdn.training.prepare import PEEK

CUTOFF = settings()["model"]["cutoff"]


def shifted(atoms: Atoms, energy: float) -> Atoms:
    """The same with another energy."""
    atoms.calc.results["energy"] += energy
    return atoms


def in_cell(symbol: str, lengths, pbc=True) -> Atoms:
    """One atom in a box, with the labels of EMT."""
    return labeled(Atoms(symbol, cell=lengths, pbc=pbc), ("energy", "forces"))


class TestImages:
    @pytest.mark.parametrize(
        ("cell", "pbc", "expected"),
        [
            ([5.0, 6.0, 7.0], True, 5.0),
            ([5.0, 6.0, 7.0], [False, True, True], 6.0),
            ([5.0, 6.0, 7.0], False, np.inf),
            ([[10, 0, 0], [9, 1, 0], [0, 0, 8]], True, 2**0.5),  # shorter than every cell vector
        ],
    )
    def test_nearest(self, cell, pbc, expected):
        structure = Structure.from_atoms(Atoms("Cu", cell=cell, pbc=pbc))
        assert nearest_image(structure) == pytest.approx(expected)

    @pytest.mark.parametrize("length", [3.4, 3.5, 3.6])
    @pytest.mark.parametrize("pbc", [True, (True, False, False), False])
    def test_isolated_as_the_graph_has_it(self, length, pbc):
        structure = Structure.from_atoms(Atoms("Cu", cell=[length, 9.0, 9.0], pbc=pbc))
        edges = len(graph_from_structure(structure, ("Cu",), CUTOFF, labels=False).center)
        assert single_atom(structure).is_isolated(CUTOFF) == (edges == 0)


class TestTraining:
    def test_two_energies_of_one_element_are_refused(self, tmp_path):
        frames = [isolated("Cu"), *crystals(6), isolated("Au"), shifted(isolated("Cu"), 0.1)]
        write(tmp_path / "train.xyz", frames)
        with pytest.raises(
            TDNError,
            match=r"structure 0 of train\.xyz and structure 8 of train\.xyz are both an isolated atom of Cu but have "
            r"the energies .* and .* eV; keep the right one",
        ):
            start(tmp_path, settings())
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("section", [{"train": ["train.xyz", "atoms.xyz"]}, {"valid": "atoms.xyz"}])
    def test_in_two_files(self, tmp_path, section):
        write(tmp_path / "train.xyz", [*crystals(6), isolated("Cu")])
        write(tmp_path / "atoms.xyz", [*crystals(2), shifted(in_cell("Cu", [9.0] * 3), -1e-3)])
        with pytest.raises(TDNError, match=r"structure 6 of train\.xyz and structure 2 of atoms\.xyz are both"):
            start(tmp_path, changed(settings(), "data", **section))

    def test_the_same_energy_but_for_rounding(self, tmp_path):
        frames = [*crystals(6), isolated("Cu"), shifted(isolated("Cu"), 1e-7), in_cell("Cu", [9.0] * 3), isolated("Au")]
        write(tmp_path / "train.xyz", frames)
        lines = start(tmp_path, settings(max_epochs=1))
        assert any("reference energies from isolated atoms" in line for line in lines)
        assert not any("crystals, not isolated" in line for line in lines)

    def test_atom_with_images_is_a_crystal_and_this_is_said(self, tmp_path):
        dense = [labeled(bulk("Cu", "fcc", a=3.6)), in_cell("Au", [9, 9, 3.2])]
        write(tmp_path / "train.xyz", [*crystals(6), isolated("Cu"), isolated("Au"), *dense])
        lines = start(tmp_path, settings(max_epochs=1))
        (note,) = (line for line in lines if "crystals, not isolated" in line)
        assert note == (
            "Note: 2 structures of one atom (Cu Au) are crystals, not isolated atoms: images are within the cutoff of "
            "3.5 angstrom (2.55 in structure 8 of train.xyz)."
        )
        assert any("6 training and 2 validation structures" in line for line in lines)


#: Structures of large data: more than are looked at before training.
MANY = 130
SENTENCE = r"are both an isolated atom of Cu but have the energies .* and .* eV; keep the right one"


def hidden_atoms(folder: Path, name: str, difference: float = 0.1) -> list[int]:
    """Write many structures with two isolated atoms where no sample looks; their indices."""
    looked_at = {*sampled(Grouped([0] * MANY), PEEK), *spread(MANY, 32), *spread(MANY, PEEK)}
    indices = [index for index in range(MANY) if index not in looked_at]
    chosen = [indices[0], indices[-1]]
    frames = [one.copy() for one in crystals(4)]
    frames = [labeled(frames[index % 4], ("energy", "forces")) for index in range(MANY)]
    for number, index in enumerate(chosen):
        frames[index] = shifted(isolated("Cu"), number * difference)
    if name.endswith(".aselmdb"):
        entries = (CatalystEntry(Structure.from_atoms(atoms), index) for index, atoms in enumerate(frames))
        write_oc_rows(folder / name, entries)
    elif name.endswith(".db"):
        with ase.db.connect(folder / name) as database:
            for atoms in frames:
                database.write(atoms)
    else:
        ase.io.write(folder / name, frames)
    return chosen


def large(name: str, **training) -> dict:
    """A run that keeps nothing in memory."""
    model = {"elements": ["Cu", "Au"]}
    content = changed(settings(max_epochs=1, batch_size=16, **training), "model", **model)
    return changed(content, "data", train=name, valid="valid.xyz", sample=5, memory=0.0)


class TestLargeData:
    """Every structure that training reads is looked at, those too that no sample takes."""

    @pytest.mark.parametrize("name", ["train.xyz", "train.db", "train.traj"])
    def test_before_training(self, tmp_path, name):
        """Where sizes are known without reading the structures, or all are in memory."""
        write(tmp_path / "valid.xyz", crystals(3))
        first, second = hidden_atoms(tmp_path, name)
        with pytest.raises(TDNError, match=f"^structure {first} of {name} and structure {second} of {name} {SENTENCE}"):
            start(tmp_path, large(name))
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("name", ["train.xyz", "train.aselmdb"])
    def test_equal_energies(self, tmp_path, name):
        write(tmp_path / "valid.xyz", crystals(3))
        hidden_atoms(tmp_path, name, difference=1e-8)
        start(tmp_path, large(name))

    def test_in_validation_data(self, tmp_path):
        write(tmp_path / "train.xyz", [*crystals(6), shifted(isolated("Cu"), -0.1)])
        first, _ = hidden_atoms(tmp_path, "valid.xyz", difference=0.0)
        with pytest.raises(TDNError, match=f"structure 6 of train.xyz and structure {first} of valid.xyz {SENTENCE}"):
            start(tmp_path, large("train.xyz"))

    @pytest.mark.parametrize("n_processes", [1, 2, 4])
    def test_where_only_the_structures_tell_their_size(self, tmp_path, n_processes):
        """The first epoch finds them, in whichever process they are."""
        write(tmp_path / "valid.xyz", crystals(3))
        first, second = hidden_atoms(tmp_path, "train.aselmdb")
        content = large("train.aselmdb", devices=n_processes, num_threads=1)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PYTEST"))}
        done = subprocess.run(
            [sys.executable, "-m", "tdn.cli", "train", "run.yaml"],
            **{"cwd": tmp_path, "env": environment | {"OMP_NUM_THREADS": "1"}, "timeout": 240},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        names = {f"row {first + 1} of train.aselmdb", f"row {second + 1} of train.aselmdb"}
        found = re.search(rf"(row .* of .*) and (row .* of .*) {SENTENCE}", done.stderr)
        assert found is not None, done.stderr
        assert names == {found[1].rpartition(": ")[2], found[2]}


class Listed(Grouped):
    """Structures in memory."""

    def __init__(self, structures: list[Structure]):
        super().__init__([0] * len(structures))
        self.structures = structures

    def __getitem__(self, index: int) -> Structure:
        return self.structures[index]


class Peer:
    """One of the processes of a run, which learns at once what all have found."""

    def __init__(self, rank: int, found: torch.Tensor):
        self.rank, self.world, self.found = rank, len(found), found

    def total(self, values: torch.Tensor) -> torch.Tensor:
        assert torch.equal(values[self.rank], self.found[self.rank])
        assert not values[torch.arange(self.world) != self.rank].any()
        return self.found


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_atoms_of_different_processes(world: int, difference: float):
    """Each process meets one atom; what one knows the others learn at the end of an epoch."""
    frames = [
        Structure.from_atoms(shifted(isolated("Cu"), number * difference), str(number)) for number in range(world)
    ]
    source = Listed(frames)
    graphs = GraphSet(source, ("Au", "Cu"), CUTOFF)
    processes = [IsolatedAtoms(graphs) for _ in range(world)]
    for rank, atoms in enumerate(processes):
        atoms.see(collate([graphs[rank]]), [rank])
    table = torch.stack([atoms.found for atoms in processes])
    for rank, atoms in enumerate(processes):
        if difference and world > 1:
            with pytest.raises(TDNError, match=SENTENCE):
                atoms.agree(Peer(rank, table))
        else:
            atoms.agree(Peer(rank, table))


def test_what_is_an_isolated_atom_in_a_batch():
    """One atom without edges; crystals of one atom and structures without an energy are none."""
    frames = [*crystals(1), isolated("Cu"), in_cell("Cu", [3.0] * 3), isolated("Au"), in_cell("Cu", [9.0] * 3)]
    graphs = [graph_from_atoms(atoms, ("Au", "Cu"), CUTOFF, labels=True) for atoms in frames]
    assert isolated_in(collate(graphs)) == [(1, 1), (3, 0), (4, 1)]
    assert isolated_in(collate(graphs[:1])) == []


class TestIndicesOfSingleAtoms:
    def test_every_source(self, tmp_path):
        frames = [*crystals(2), isolated("Cu"), *crystals(1), in_cell("Au", [3.0] * 3)]
        names = ("a.xyz", "a.traj", "a.json", "a.db")
        for name in names:
            ase.io.write(tmp_path / name, frames)
        sources = [open_source(tmp_path / name) for name in names]
        sources += [Concatenation(sources), AtomsSource(frames), Loaded(sources[0]), Subset(sources[0], [4, 0, 2, 4])]
        for source in (*sources, Subset(Concatenation(sources), range(3, 20))):
            expected = [index for index, structure in enumerate(source) if len(structure) == 1]
            assert source.one_atom_indices().tolist() == expected
            assert expected

    def test_pubchemqcr(self, tmp_path):
        atom = replace(molecule(1), numbers=np.array([1]), positions=np.zeros((1, 3)), forces=np.zeros((1, 3)))
        trajectories = [[molecule(k)] * k if k % 3 else [replace(atom, energy=float(k))] * k for k in range(1, 8)]
        write_pubchemqcr(tmp_path / "a.lmdb", [(k, {"DFT_1st": one}) for k, one in enumerate(trajectories, 1)])
        for steps in ("all", "last"):
            source = open_source({"path": tmp_path / "a.lmdb", "steps": steps})
            expected = [index for index, structure in enumerate(source) if len(structure) == 1]
            assert source.one_atom_indices().tolist() == expected
            assert len(expected) == (9 if steps == "all" else 2)


def test_data_says_it(tmp_path, capsys):
    frames = [isolated("Cu"), *crystals(2), shifted(isolated("Cu"), 0.1), labeled(bulk("Cu", "fcc", a=3.6))]
    write(tmp_path / "a.xyz", frames)
    assert main(["data", str(tmp_path / "a.xyz")]) == 0
    out = capsys.readouterr().out
    assert "Note: structure 0 of a.xyz and structure 3 of a.xyz are both an isolated atom of Cu but have" in out
    assert "Note: 1 structures of one atom (Cu) are crystals, not isolated atoms" in out


def test_shared_fault(shared_data, tmp_path):
    """The little file that showed this fault."""
    path = shared_data.parent / "faults" / "isolated_twice" / "iso_twice.xyz"
    if not path.is_file():
        pytest.skip("the little faulty files are not beside this checkout (../shared/faults)")
    with pytest.raises(TDNError, match=r"of iso_twice\.xyz are both an isolated atom of Si but have the energies -"):
        start(tmp_path, changed(settings(), "data", train=str(path)))
