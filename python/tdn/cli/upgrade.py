"""``tdn upgrade``: an archive of an older format in the present one, with the same numbers."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("upgrade", help="write an older archive in the present format", description=__doc__)
    parser.add_argument("archive", help="archive of an older tdn deploy")
    parser.add_argument("-o", "--output", required=True, metavar="NEW.tdn.pt", help="the new archive")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing archive")
    return parser


def run(args: argparse.Namespace) -> None:
    """Upgrade and print what was compared."""
    from tdn.deployment.upgrade import upgrade
    from tdn.deployment.verify import table

    verdicts = upgrade(args.archive, args.output, args.overwrite)
    print(table(verdicts))
    print(f"wrote {args.output}")
