"""Relaxations of atoms on metal slabs with ASE's EMT potential, written in both forms of OC20.

H, C, N or O sits near a hollow site of a copper or platinum slab of three layers, the lowest of which is held. All
other atoms are displaced at random, and ASE's BFGS follows the forces until none is above 0.1 eV/angstrom. Tags are
those of OC20: 0 below the surface, 1 surface, 2 adsorbate. Energies are total ones, as in OC22. Seconds on one core.

The relaxations of the fcc(111) slabs and half of those of the fcc(100) slabs are written as ASE rows, for training;
the others as pickled graphs, for testing. Each set is there for both tasks: every step with energy and forces (s2ef),
and the first structure with the energy of the last (is2re).

Usage: python examples/oc20/make_data.py [--folder FOLDER]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, fcc100, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from tdn.data.formats.oc_write import CatalystEntry, write_oc_graphs, write_oc_rows
from tdn.data.structure import Structure

METALS, ADSORBATES, STARTS = ("Cu", "Pt"), ("H", "C", "N", "O"), 2
#: Slab, where the adsorbate starts, and how high above the surface (angstrom).
SURFACES = ((fcc111, "fcc", 1.4), (fcc100, "hollow", 1.0))
LAYERS, VACUUM = 3, 8.0
DISPLACEMENT = 0.1  # angstrom, standard deviation
LARGEST_FORCE, MOST_STEPS = 0.1, 40
DIGITS = 6  # that are kept of positions and forces


def slab(metal: str, adsorbate: str, surface: int, seed: int) -> Atoms:
    """A displaced start, with constraint and the tags of OC20."""
    build, site, height = SURFACES[surface]
    atoms = build(metal, size=(2, 2, LAYERS), vacuum=VACUUM)
    add_adsorbate(atoms, adsorbate, height, site)
    layer = atoms.get_tags()  # ASE: 0 adsorbate, 1 the highest layer, ...
    atoms.set_tags(np.select([layer == 0, layer == 1], [2, 1], 0))
    fixed = layer == LAYERS
    atoms.positions += np.random.default_rng(seed).normal(scale=DISPLACEMENT, size=(len(atoms), 3)) * ~fixed[:, None]
    atoms.set_constraint(FixAtoms(mask=fixed))
    atoms.pbc = True
    return atoms


def relaxation(atoms: Atoms) -> list[Structure]:
    """Every step, with the forces of the held atoms as well."""
    atoms.calc = EMT()
    steps: list[Structure] = []
    optimizer = BFGS(atoms, logfile=None)
    optimizer.attach(lambda: steps.append(snapshot(atoms)))
    optimizer.run(fmax=LARGEST_FORCE, steps=MOST_STEPS)
    return steps


def snapshot(atoms: Atoms) -> Structure:
    """Present step: EMT's energy and forces of positions with few digits, which make smaller files."""
    rounded = atoms.copy()
    rounded.positions = rounded.positions.round(DIGITS)
    rounded.calc = EMT()
    forces = rounded.get_forces(apply_constraint=False)
    structure = Structure.from_atoms(rounded, str(atoms.symbols))
    return replace(structure, forces=forces.round(DIGITS), stress=None)


def main() -> None:
    """Calculate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    steps: dict[str, list[CatalystEntry]] = {"train": [], "test": []}
    ends: dict[str, list[CatalystEntry]] = {"train": [], "test": []}
    cases = product(range(len(SURFACES)), METALS, ADSORBATES, range(STARTS))
    for system, (surface, metal, adsorbate, start) in enumerate(cases):
        found = relaxation(slab(metal, adsorbate, surface, seed=system))
        part = "test" if surface == 1 and start == 1 else "train"
        steps[part] += [CatalystEntry(step, system, frame) for frame, step in enumerate(found)]
        ends[part].append(CatalystEntry(found[0], system, relaxed=found[-1]))
    for task, entries in (("s2ef", steps), ("is2re", ends)):
        write_oc_rows(options.folder / f"{task}_train.aselmdb", entries["train"], overwrite=True)
        write_oc_graphs(options.folder / f"{task}_test.lmdb", entries["test"], overwrite=True)
        print(f"{task}: {len(entries['train'])} structures for training, {len(entries['test'])} for testing")


if __name__ == "__main__":
    main()
