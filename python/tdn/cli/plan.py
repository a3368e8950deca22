"""``tdn plan``: predict what a run will need on every rank, before anything runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdn.plan import Rates

DTYPES = ("float32", "float64")


def whole(text: str) -> int:
    """A whole number, which may be written as 1e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(text) from None
        return int(number)


whole.__name__ = "whole number"  # argparse names it in its message


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("plan", help="predict traffic, memory and time of a run", description=__doc__)
    parser.add_argument("archive", help="archive of tdn deploy")
    parser.add_argument("--atoms", type=whole, metavar="N", help="atoms in the box")
    parser.add_argument("--density", type=float, metavar="D", help="atoms per cubic angstrom (liquid water: 0.1)")
    parser.add_argument("--ranks", type=whole, metavar="R", help="MPI ranks")
    parser.add_argument("--gpus", action="store_true", help="one GPU per rank; with --measure: measure on the GPU")
    parser.add_argument(
        "--box", type=float, nargs=3, metavar=("LX", "LY", "LZ"), help="sides of the box in angstrom (default: cube)"
    )
    parser.add_argument(
        "--processors",
        type=whole,
        nargs=3,
        metavar=("PX", "PY", "PZ"),
        help="grid of ranks (default: as LAMMPS chooses)",
    )
    parser.add_argument("--skin", type=float, default=2.0, help="skin of the neighbor list, angstrom (default: 2.0)")
    parser.add_argument(
        "--imbalance", type=float, default=1.0, help="atoms of the fullest rank divided by the mean (default: 1)"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="precision of the evaluation (default: the archive's)")
    parser.add_argument("--wire", choices=("model", "bfloat16"), default="model", help="precision of the messages")
    parser.add_argument("--rates", metavar="FILE", help="measured costs, for memory and time")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--measure", action="store_true", help="measure the costs on this machine and write them to -o")
    parser.add_argument("--threads", type=whole, default=1, help="threads of one rank, with --measure (default: 1)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the rate file that --measure writes")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing rate file")
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure, or plan and print."""
    if args.measure:
        measure(args)
    else:
        plan(args)


def measure(args: argparse.Namespace) -> None:
    """Write a rate file."""
    from tdn.errors import TDNError
    from tdn.files import check_target
    from tdn.plan.measure import measure

    if args.output is None:
        raise TDNError("--measure has no file to write to; add -o rates.json")
    if args.threads < 1:
        raise TDNError(f"--threads is {args.threads}; give a whole number of at least 1")
    path = check_target(args.output, args.overwrite)
    rates = measure(args.archive, "cuda" if args.gpus else "cpu", args.threads, args.density, args.dtype)
    rates.write(path)
    print(f"wrote {path}")


def plan(args: argparse.Namespace) -> None:
    """Compute and print."""
    from tdn.plan import System, describe, format_plan, model_size, tabulate
    from tdn.plan.report import as_json

    check(args)
    model = model_size(args.archive, args.dtype, args.wire)
    box, grid = (tuple(value) if value else None for value in (args.box, args.processors))
    system = System.make(args.atoms, args.ranks, args.density, box, grid, args.skin)
    rates, remark = usable_rates(args, model.name, model.dtype)
    values = tabulate(model, system, rates, args.imbalance)
    if args.json:
        print(as_json(model, system, values, remark))
        return
    print("\n".join([describe(model, system), format_plan(values), *([remark] if remark else [])]))


def check(args: argparse.Namespace) -> None:
    """Refuse arguments that are not enough for a plan."""
    from tdn.errors import TDNError

    for name in ("atoms", "ranks"):
        if getattr(args, name) is None:
            raise TDNError(f"--{name} is missing; a plan needs --atoms, --ranks and --density or --box")
    if not 1 <= args.imbalance < float("inf"):
        raise TDNError(
            f"--imbalance is {args.imbalance:g}; give the fullest rank's atoms divided by the mean, at least 1"
        )


def usable_rates(args: argparse.Namespace, model: str, dtype: str) -> tuple[Rates | None, str]:
    """The rates, if they apply to the run, and a sentence on what stays unknown without them."""
    from tdn.plan.rates import objection, read_rates

    if args.rates is None:
        kind = "GPU rates" if args.gpus else "rates"
        return None, f"no {kind} are given, so memory and time are unknown; measure with --measure, pass --rates FILE"
    rates = read_rates(args.rates)
    remark = objection(rates, model, dtype, args.gpus)
    return (None if remark else rates), remark
