"""``tdn profile``: show where the time and memory of a model go on this machine, and their lower bounds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdn.data.graph import Graph


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("profile", help="show time and bytes of every stage of a model", description=__doc__)
    parser.add_argument("archive", help="archive of tdn deploy")
    parser.add_argument("--atoms", type=int, default=1000, metavar="N", help="atoms of the test system (default: 1000)")
    parser.add_argument("--structure", metavar="FILE", help="evaluate this structure instead (any format of ASE)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="number of timed evaluations (default: 5)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Evaluate and print the table."""
    import torch

    from tdn.errors import TDNError
    from tdn.plan.profile import profile, report

    for name in ("atoms", "threads", "repeats"):
        value = getattr(args, name)
        if value < 1:
            raise TDNError(f"--{name} is {value}; give a whole number of at least 1")
    torch.set_num_threads(args.threads)
    print(report(profile(args.archive, graph_maker(args), args.repeats)))


def graph_maker(args: argparse.Namespace) -> Any:
    """A function from a deployed model to the graph to evaluate."""
    from tdn.plan.profile import lattice_graph

    def make(model: Any) -> Graph:
        if not args.structure:
            return lattice_graph(model, args.atoms)
        from tdn.data import graph_from_atoms
        from tdn.data.dataset import read_frames

        return graph_from_atoms(read_frames(args.structure)[0], model.elements, model.cutoff)

    return make
