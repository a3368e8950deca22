"""Options of every command that reads structures of any format."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tdn.data.formats.registry import KEY_OPTIONS, READABLE

if TYPE_CHECKING:
    from tdn.data.source import Source


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``, ``--option`` and the names of the labels."""
    parser.add_argument("--format", help=f"{', '.join(READABLE)} (default: detected from the file)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the format, for instance stage=1st, steps=last, split=train, task=is2re; may be repeated",
    )
    for option in KEY_OPTIONS:
        label = option.removesuffix("_key")
        parser.add_argument(
            f"--{label}-key", metavar="NAME", help=f"name of the {label} in extended XYZ and ASE's files"
        )


def open_sources(paths: list[str], args: argparse.Namespace) -> Source:
    """Open paths with the options of a command line."""
    import yaml

    from tdn.data.source import open_source
    from tdn.errors import TDNError

    options = {}
    for text in args.option:
        name, separator, value = text.partition("=")
        if not separator:
            raise TDNError(f"--option {text} has no value; write it as NAME=VALUE")
        options[name] = yaml.safe_load(value) if value.startswith("[") else value
    given = {name: getattr(args, name) for name in KEY_OPTIONS}
    options |= {name: value for name, value in given.items() if value is not None}
    if args.format:
        options["format"] = args.format
    return open_source([{"path": path, **options} for path in paths])
