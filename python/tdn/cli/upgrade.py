"""``tdn upgrade``: write an archive of an older format in the current one, with the same numbers."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("upgrade", help="write an older archive in the current format", description=__doc__)
    parser.add_argument("archive", help="archive in an older format")
    parser.add_argument("-o", "--output", required=True, metavar="NEW.tdn.pt", help="the new archive")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing archive")
    return parser


def run(args: argparse.Namespace) -> None:
    """Upgrade and print the comparison."""
    from tdn.deployment.upgrade import upgrade
    from tdn.deployment.verify import table

    verdicts = upgrade(args.archive, args.output, args.overwrite)
    print(table(verdicts))
    print(f"wrote {args.output}")
