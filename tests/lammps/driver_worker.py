"""Scenarios of tdn.lammps.Simulation, each on all ranks it is started on; called by test_driver.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import structures
from ase import Atoms

from tdn.errors import TDNError
from tdn.lammps import Result, Simulation
from tdn.lammps.units import UNITS

ARCHIVE = "model.tdn.pt"
CPU = {"model": ARCHIVE, "keywords": "device cpu"}
#: IDs that are deleted in the scenario of gaps.
DELETED = (2, 3, 17)


def left_handed() -> Atoms:
    """Silicon in a cell that is neither triangular nor right-handed."""
    atoms = structures.turned_silicon()
    atoms.set_cell(atoms.cell.array * [[1], [-1], [1]], scale_atoms=False)
    return atoms


def wire() -> Atoms:
    """Silicon that is periodic in one direction, which is no Cartesian axis; atoms reach beyond its cell."""
    atoms = structures.silicon_triclinic()
    atoms.positions -= 4.0
    atoms.pbc = (False, False, True)
    return atoms


def moved() -> np.ndarray:
    """Positions of water(2) far from where they were: other ranks own them."""
    return structures.rattled(structures.water(2), 0.05, seed=5).positions + np.array([3.1, -40.0, 7.0])


def save(name: str, result: Result, comm) -> None:
    """Write a result; every rank of the communicator must hold the same numbers in its own arrays."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    values = {key: value for key, value in values.items() if value is not None}
    for mine in comm.allgather(values):
        assert all(np.array_equal(mine[key], value) for key, value in values.items())
    if comm.rank == 0:
        np.savez(f"{name}.npz", **values)


def world_scenario(world) -> None:
    """A liquid, then the same atoms elsewhere, then where they began, with a run in between."""
    with Simulation(structures.water(2), **CPU, comm=world, log="driver.log") as simulation:
        save("water", simulation.evaluate(), world)
        simulation.set_positions(moved())
        save("moved", simulation.evaluate(), world)
        simulation.command("fix 1 all nve\nrun 3\nunfix 1")
        simulation.set_positions(structures.water(2).positions)
        save("back", simulation.evaluate(), world)


def gaps(world) -> None:
    """IDs with gaps; on 4 ranks most have no atoms at the end."""
    with Simulation(structures.water(2), **CPU, comm=world) as simulation:
        simulation.command(f"group g id {' '.join(map(str, DELETED))}\ndelete_atoms group g compress no")
        save("gaps", simulation.evaluate(), world)
        positions = np.delete(structures.water(2).positions, np.subtract(DELETED, 1), axis=0)
        simulation.set_positions(positions + np.array([1.0, 2.0, 3.0]))
        save("gaps_moved", simulation.evaluate(), world)
        simulation.command("group h id > 1\ndelete_atoms group h compress no")
        save("one", simulation.evaluate(), world)
        simulation.command("delete_atoms group all compress no")
        save("none", simulation.evaluate(), world)


def frames(world) -> None:
    """Structures that LAMMPS sees turned."""
    for name, atoms in {"left_handed": left_handed(), "wire": wire(), "molecule": structures.ethanol()}.items():
        with Simulation(atoms, **CPU, comm=world) as simulation:
            save(name, simulation.evaluate(), world)


def split(world) -> None:
    """Ranks 0 and 1 run one structure, 2 and 3 another, at the same time; any more only wait."""
    color = world.rank // 2 if world.rank < 4 else -1
    comm = world.Split(color if color >= 0 else 2, world.rank)
    makers: tuple[Callable[[], Atoms], ...] = (lambda: structures.water(2), structures.silicon_triclinic)
    if color >= 0:
        with Simulation(makers[color](), **CPU, comm=comm) as simulation:
            for k in range(3 - 2 * color):  # the communicators are not in step
                save(f"color{color}", simulation.evaluate(), comm)
                assert simulation.ids().size == len(makers[color]()), k
    world.Barrier()
    comm.Free()


def units(world) -> None:
    for style in UNITS:
        with Simulation(structures.water(2), **CPU, comm=world, units=style) as simulation:
            save(style, simulation.evaluate(), world)


def options(world) -> None:
    """Pair lines of hybrid, an atom style with charges, input before the box, no virials of atoms."""
    pair = f"pair_style hybrid/overlay tdn device cpu zero 3.0\npair_coeff * * zero\npair_coeff * * tdn {ARCHIVE} O H"
    given = {
        "elements": ["O", "H"],
        "atom_style": "full",
        "before": "processors 1 1 *\nneighbor 1.0 bin\ncomm_style tiled",
    }
    with Simulation(structures.water(2), pair=pair, comm=world, **given) as simulation:
        assert simulation.lmp.extract_global("procgrid") == [1, 1, world.size]
        result = simulation.evaluate(atom_virials=False, centroid_virials=False)
    assert result.atom_virials is None and result.centroid_virials is None
    save("hybrid", result, world)


def sentences(world) -> None:
    """What users can do wrong, on every rank the same; the process can go on."""
    water = structures.water(2)
    outside = structures.ethanol().positions + np.array([0, 0, 100.0])
    cases: dict[str, Callable[[Simulation], object]] = {
        "unknown command": lambda s: s.command("no_such_command"),
        "bad keyword": lambda s: s.command("pair_style tdn device cpux"),
        "shape": lambda s: s.set_positions(np.zeros((2, 3))),
        "outside": lambda s: s.set_positions(outside),
        "units": lambda s: Simulation(water, **CPU, units="lj"),
        "no model": lambda s: Simulation(water),
        "no elements": lambda s: Simulation(water[:0], ARCHIVE),
        "element": lambda s: Simulation(water, ARCHIVE, elements=["H"]),
        "no element": lambda s: Simulation(water, ARCHIVE, elements=["H", "O", "Oxygen"]),
        "atom style": lambda s: Simulation(water, ARCHIVE, atom_style="sphere"),
        "log": lambda s: Simulation(water, ARCHIVE, log="none/log"),
        "missing file": lambda s: Simulation(water, "none.tdn.pt"),
        "temporary": lambda s: without_room(water),
    }
    found = {}
    with Simulation(structures.ethanol(), pair="pair_style zero 3.0\npair_coeff * *", comm=world) as simulation:
        for name, act in cases.items():
            try:
                act(simulation)
            except TDNError as problem:
                found[name] = str(problem)
        assert set(world.allgather(json.dumps(found))) == {json.dumps(found)}
    if world.rank == 0:
        Path("sentences.json").write_text(json.dumps(found))
    with Simulation(water, **CPU, comm=world) as simulation:
        save("after", simulation.evaluate(), world)


def without_room(atoms: Atoms) -> None:
    """A simulation whose first rank cannot write a temporary file."""
    import tempfile

    tempfile.tempdir = "/nonexistent"
    try:
        Simulation(atoms, ARCHIVE)
    finally:
        tempfile.tempdir = None


def one_rank(world) -> None:
    """Two atoms at the same point: only the rank that owns them meets the error."""
    atoms = structures.isolated_atoms()
    atoms.positions[1] = atoms.positions[0]
    with Simulation(atoms, **CPU, comm=world) as simulation:
        try:
            simulation.evaluate()
        except TDNError as problem:
            print(f"TDNError: {problem}", flush=True)


SCENARIOS = {f.__name__: f for f in (world_scenario, gaps, frames, split, units, options, sentences, one_rank)}


if __name__ == "__main__":
    from mpi4py import MPI

    SCENARIOS[sys.argv[1]](MPI.COMM_WORLD)
