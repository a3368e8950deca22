"""``tdn inspect``: print the label of an archive."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("inspect", help="print the label of an archive", description=__doc__)
    parser.add_argument("archive", help="archive of tdn deploy")
    parser.add_argument("--json", action="store_true", help="print the whole label as JSON")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read and print; the module is not loaded."""
    from tdn.deployment.archive import read_label

    label = read_label(args.archive)
    if args.json:
        print(json.dumps(label, indent=1))
        return
    for name, value in label.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, item in value.items():
                print(f"  {key}: {item}")
        elif "\n" in str(value):
            print(f"{name}:\n  " + str(value).replace("\n", "\n  "))
        else:
            print(f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}")
