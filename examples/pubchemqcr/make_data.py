"""Relaxations of small molecules by B3LYP/6-31G* (PySCF), written as a PubChemQCR shard.

Every molecule starts three times from its G2 geometry with all atoms displaced at random, and ASE's BFGS follows the
forces until none is above 0.02 eV/angstrom. Each start is one trajectory, stage DFT_1st, every step with energy and
gradient. 6-31G* has Cartesian d functions here, as in PubChemQC. About ten minutes on one core.

Usage: python examples/pubchemqcr/make_data.py [--output small.lmdb] [--starts 3]    (needs: pip install pyscf)
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from ase.units import Bohr, Hartree
from pyscf import dft, gto, lib

from tdn.data.formats.pubchemqcr_write import write_pubchemqcr
from tdn.data.structure import Structure

#: Number in PubChem and name in ASE's G2 collection.
MOLECULES = {
    962: "H2O",
    222: "NH3",
    297: "CH4",
    887: "CH3OH",
    712: "H2CO",
    6325: "C2H4",
    6326: "C2H2",
    768: "HCN",
    784: "H2O2",
    284: "HCOOH",
    6329: "H3CNH2",
    6324: "C2H6",
}
DISPLACEMENT = 0.08  # angstrom, standard deviation
LARGEST_FORCE, MOST_STEPS = 0.02, 40
#: Later starts of a molecule have its number plus a multiple of this.
NEXT_START = 10_000_000


class B3LYP(Calculator):
    """Restricted B3LYP/6-31G*; the density of the step before is the first guess."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.density: Any = None

    def calculate(self, atoms=None, properties=("energy", "forces"), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        geometry = list(zip(self.atoms.get_chemical_symbols(), self.atoms.positions.tolist(), strict=True))
        field = dft.RKS(gto.M(atom=geometry, basis="6-31g*", cart=True, unit="Angstrom", verbose=0), xc="b3lyp")
        field.conv_tol = 1e-10
        energy = field.kernel(dm0=self.density)
        if not field.converged:
            raise RuntimeError(f"the density of {self.atoms.symbols} did not converge")
        self.density = field.make_rdm1()
        gradient = field.nuc_grad_method()
        gradient.grid_response = True  # the derivative of the energy on the very grid
        forces = -gradient.kernel() * Hartree / Bohr
        self.results = {"energy": float(energy) * Hartree, "forces": forces}


def relaxation(name: str, seed: int) -> list[Structure]:
    """Every step of one start."""
    atoms: Atoms = molecule(name)
    atoms.positions += np.random.default_rng(seed).normal(scale=DISPLACEMENT, size=(len(atoms), 3))
    atoms.calc = B3LYP()
    steps: list[Structure] = []
    optimizer = BFGS(atoms, logfile=None)
    optimizer.attach(lambda: steps.append(replace(Structure.from_atoms(atoms, name), cell=np.zeros((3, 3)))))
    optimizer.run(fmax=LARGEST_FORCE, steps=MOST_STEPS)
    return steps


def main() -> None:
    """Calculate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("small.lmdb"))
    parser.add_argument("--starts", type=int, default=3, help="of each molecule (default: 3)")
    options = parser.parse_args()
    lib.num_threads(1)
    trajectories = []
    for start in range(options.starts):
        for cid, name in MOLECULES.items():
            steps = relaxation(name, seed=start * NEXT_START + cid)
            print(f"{name}, start {start}: {len(steps)} steps", file=sys.stderr, flush=True)
            trajectories.append((start * NEXT_START + cid, {"DFT_1st": steps}))
    write_pubchemqcr(options.output, trajectories, overwrite=True)
    print(f"wrote {options.output}: {sum(len(stages['DFT_1st']) for _, stages in trajectories)} snapshots")


if __name__ == "__main__":
    main()
