"""A shaken lattice of two elements, and input lines that many tests of commands share."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
from lammps_runner import Run, run, setup, write_data

ELEMENTS = ["H", "O"]
PERIODIC = ase.Atoms(pbc=True)

#: Energy, norm and largest component of the forces, virial pressure: one wrong number of any atom changes them.
STATE = (
    "compute w all pressure NULL virial\nthermo_style custom step pe etotal fnorm fmax vol press c_w[*]\n"
    "thermo_modify norm no\n"
)


#: NVE fast enough that lists are rebuilt and atoms change ranks within a hundred steps.
DYNAMICS = (
    "velocity all create 2000 3 mom yes rot no loop geom\ntimestep 0.0005\nfix 1 all nve\nneighbor 0.5 bin\n"
    "neigh_modify every 1 delay 0 check yes\n"
)


def setup_of(data: str, commands: str = "") -> str:
    """Input up to read_data of a periodic system in the file ``data``; ``commands`` go before read_data."""
    return setup(PERIODIC, commands=commands, data=data)


def solid(
    n_cells: tuple[int, int, int] = (4, 4, 4),
    spacing: float = 2.1,
    amplitude: float = 0.1,
    mixed: bool = False,
    seed: int = 0,
) -> ase.Atoms:
    """H and O in turn on simple cubic sites, moved at random by up to ``amplitude`` angstrom; stable near 2.2 angstrom.

    ``mixed`` puts the elements on sites at random.
    """
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*map(np.arange, n_cells), indexing="ij"), -1).reshape(-1, 3)
    symbols = np.array(ELEMENTS)[sites.sum(1) % 2]
    positions = spacing * sites + 0.5 + amplitude * rng.uniform(-1, 1, sites.shape)
    symbols = rng.permutation(symbols) if mixed else symbols
    return ase.Atoms(symbols, positions=positions, cell=spacing * np.array(n_cells), pbc=True)


def pair(model: Path) -> str:
    """The two pair lines of a model of H and O."""
    return f"pair_style tdn device cpu\npair_coeff * * {model} H O\n"


def show(name: str) -> str:
    """Print the state of the last step as ``name``: energy, forces, six virial pressures, volume."""
    words = ["pe", "fnorm", "fmax", *(f"c_w[{k}]" for k in range(1, 7)), "vol"]
    return f'print "{name} = {" ".join(f"$({word}:%.17g)" for word in words)}"\n'


def fresh(pairs: str, name: str = "fresh", commands: str = "") -> str:
    """Write the atoms, forget everything, read them again and print the state of ``run 0`` as ``name``."""
    again = setup_of("data.fresh", commands)
    return f"write_data data.fresh\nclear\n{again}{pairs}{STATE}run 0\n{show(name)}"


def completed(text: str, n_ranks: int, folder: Path, timeout: float = 120, options: tuple[str, ...] = ()) -> Run:
    """Run an input that must succeed."""
    done = run(text, n_ranks, folder, timeout, options)
    assert done.returncode == 0, done.output
    return done


def start(atoms: ase.Atoms, folder: Path, commands: str = "") -> str:
    """Write the atoms and return the input up to read_data."""
    write_data(atoms, ELEMENTS, folder / "data.test")
    return setup(atoms, commands=commands)


def table(done: Run) -> np.ndarray:
    """Thermo output of the last run before ``show`` printed ``now``, (n_lines, n_columns)."""
    output = Run(0, done.output.split("\nnow = ")[0])
    return np.array([[float(word) for word in line.split()] for line in output.thermo])


def assert_same_state(done: Run, first: str, second: str, energy: float = 1e-9, forces: float = 1e-8) -> None:
    """Energy (eV), forces (eV/angstrom) and virial (bar angstrom^3) printed under two names agree."""
    a, b = done.values(first), done.values(second)
    np.testing.assert_allclose(a[0], b[0], rtol=0, atol=energy)
    np.testing.assert_allclose(a[1:3], b[1:3], rtol=0, atol=forces)
    # pressure times volume: a shrink-wrapped box is wider until atoms are exchanged
    np.testing.assert_allclose(a[3:9] * a[9], b[3:9] * b[9], rtol=1e-9, atol=1)


def stiff_pair(model: Path, strength: float = 0.5) -> str:
    """The model and a soft repulsion A (1 + cos(pi r / 3.4)) of like atoms, which holds the lattice together."""
    return (
        f"pair_style hybrid/overlay tdn device cpu soft 3.4\npair_coeff * * tdn {model} H O\n"
        f"pair_coeff 1 1 soft {strength}\npair_coeff 2 2 soft {strength}\npair_coeff 1 2 soft 0.0\n"
    )
