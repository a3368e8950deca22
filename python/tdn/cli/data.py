"""``tdn data``: describe the contents of files of structures."""

from __future__ import annotations

import argparse
import json

from tdn.cli.source_options import add_source_options, open_sources


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("data", help="describe the contents of files of structures", description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="files, or folders of LMDB shards")
    add_source_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read everything once and print."""
    from tdn.statistics.description import as_text, describe

    found = describe(open_sources(args.sources, args))
    print(json.dumps(found, indent=1) if args.json else as_text(found))
