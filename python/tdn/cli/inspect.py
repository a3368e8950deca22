"""``tdn inspect``: print the label of an archive."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tdn.errors import shown

#: Letters of a line that are printed.
LONGEST = 2000


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
            print(f"{plain(name)}:")
            for key, item in value.items():
                print(f"  {plain(key)}: {plain(item)}")
        elif "\n" in str(value):
            print(f"{plain(name)}:\n  " + plain(value).replace("\n", "\n  "))
        else:
            print(f"{plain(name)}: {plain(' '.join(map(str, value)) if isinstance(value, list) else value)}")


def plain(value: Any) -> str:
    """Text of a value out of a file, line by line as a terminal may show it."""
    return "\n".join(shown(line, LONGEST) for line in str(value).split("\n"))
