"""``tdn index``: build the index of PubChemQCR shards before a training run needs it, several shards at a time."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("index", help="build the index of PubChemQCR shards", description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path, metavar="SHARD", help="shards, or folders of them")
    parser.add_argument("--stage", default="1st", help="pm3, hf, 1st, 1st_smash, 2nd or mixing (default: 1st)")
    parser.add_argument(
        "--index-folder", type=Path, metavar="FOLDER", help="folder for the index (default: beside the shard)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="number of shards at the same time (default: 1)"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Build missing indices and print what was left out."""
    from tdn.data.formats.pubchemqcr_build import index_shards

    for index in index_shards(args.shards, args.stage, args.index_folder, args.workers):
        found = index.summary
        print(f"{found.shard[0]}, {found.stage}: {found.n_snapshots:,} snapshots of {found.n_trajectories:,} molecules")
        for reason, count in found.left_out.items():
            print(f"  left out: {count:,} x {reason}")
