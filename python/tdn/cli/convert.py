"""``tdn convert``: write structures of any readable format as extended XYZ, a PubChemQCR shard or an OC20 file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tdn.cli.source_options import add_source_options, open_sources
from tdn.data.formats.registry import WRITABLE


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("convert", help="write structures in another format", description=__doc__)
    parser.add_argument("source", help="a file, or a folder of LMDB shards")
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument("--to", metavar="FORMAT", help=f"{', '.join(WRITABLE)} (default: from the extension)")
    add_source_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read and write."""
    from tdn.data.convert import convert

    source = open_sources([args.source], args)
    count = convert(source, args.target, args.to, args.overwrite)
    left_out = sum(source.left_out.values())
    remark = f"; {left_out:,} entries of the source are left out, see 'tdn data'" if left_out else ""
    print(f"wrote {args.target}: {count:,} structures{remark}")
