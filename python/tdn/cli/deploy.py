"""``tdn deploy``: compile a checkpoint to an archive for LAMMPS, and verify it."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("deploy", help="compile a checkpoint for LAMMPS and verify it", description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint of tdn train or tdn import-airs")
    parser.add_argument("-o", "--output", required=True, metavar="NAME.tdn.pt", help="the archive")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="precision (default: the checkpoint's)")
    parser.add_argument(
        "--check", metavar="FILE", help="file that ASE reads, with structures to verify on besides random ones"
    )
    parser.add_argument("--no-tabulate", action="store_true", help="keep the radial networks instead of tables")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing archive")
    return parser


def run(args: argparse.Namespace) -> None:
    """Deploy and print the verdict table."""
    from tdn.data.dataset import read_frames
    from tdn.deployment.verify import table
    from tdn.doors import deploy

    verdicts = deploy(
        args.checkpoint,
        args.output,
        dtype=args.dtype,
        structures=read_frames(args.check)[:3] if args.check else (),
        overwrite=args.overwrite,
        tabulate=not args.no_tabulate,
    )
    print(table(verdicts))
    print(f"wrote {args.output}")
