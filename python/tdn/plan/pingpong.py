"""Latency and bandwidth between two MPI ranks: ``mpirun -n 2 python -m tdn.plan.pingpong`` prints them as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

#: Sizes of the short and the long message, bytes; the long one is that of 2,000 rows of 512 float32 numbers.
SHORT, LONG = 8, 4_096_000
#: Messages of each size; the fastest counts, since cores may be shared with other programs.
REPEATS = {SHORT: 500, LONG: 30}


def one_way(comm: Comm, n_bytes: int) -> float:
    """Seconds that a message takes from one rank to the other: half of the fastest round trip."""
    from mpi4py import MPI

    buffer = bytearray(n_bytes)
    other = 1 - comm.rank
    fastest = float("inf")
    for _ in range(REPEATS[n_bytes]):
        begin = MPI.Wtime()
        if comm.rank == 0:
            comm.Send(buffer, other)
            comm.Recv(buffer, other)
        else:
            comm.Recv(buffer, other)
            comm.Send(buffer, other)
        fastest = min(fastest, MPI.Wtime() - begin)
    return fastest / 2


def main() -> None:
    """Measure on the first two ranks of the world; rank 0 prints."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    short, long = one_way(comm, SHORT), one_way(comm, LONG)
    if comm.rank == 0:
        print(json.dumps({"message_latency": short, "bandwidth": LONG / max(long - short, 1e-9)}))


if __name__ == "__main__":
    main()
