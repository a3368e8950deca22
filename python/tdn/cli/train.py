"""``tdn train``: train a model on labeled structures."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("train", help="train a model as configured in a YAML file", description=__doc__)
    parser.add_argument("config", help="YAML file with the sections model, data, training and run_dir")
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="train tdn, schnet or painn instead of the file's architecture, with the same elements and cutoff, other "
        "options at their defaults, in the folder run_dir-NAME",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resume", action="store_true", help="continue an interrupted run (exactly, if max_time is not set)"
    )
    how.add_argument("--overwrite", action="store_true", help="replace the files of an earlier run in run_dir")
    return parser


def run(args: argparse.Namespace) -> None:
    """Train."""
    from tdn.config.run import load_config
    from tdn.training.run import train

    train(
        load_config(args.config, args.architecture),
        resume=args.resume,
        overwrite=args.overwrite,
    )
