"""The command ``tdn``: one module for each subcommand, imported when it is needed."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module

from tdn import __version__
from tdn.console import printed_log
from tdn.errors import TRAINING_PACKAGES, TDNError, needs

#: Modules of this package with ``add_parser(subparsers)`` and ``run(args)``; heavy imports belong inside ``run``.
COMMANDS = tuple("train evaluate relax deploy upgrade inspect plan profile data convert index import_airs".split())


def build_parser() -> argparse.ArgumentParser:
    """Parser with every subcommand."""
    parser = argparse.ArgumentParser(prog="tdn", description="Train, check and deploy TDN interatomic potentials.")
    parser.add_argument("--version", action="version", version=f"tdn {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name in COMMANDS:
        command = import_module(f"tdn.cli.{name}")
        command.add_parser(subparsers).set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; an error of the user gives one sentence on stderr and exit status 1."""
    args = build_parser().parse_args(arguments)
    try:
        with printed_log():
            status = args.run(args) or 0
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        if not output_is_closed():
            raise
        return 1
    except TDNError as problem:
        print(f"tdn {args.command}: {problem}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in TRAINING_PACKAGES:
            raise
        print(f"tdn {args.command}: {needs(missing.name)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def output_is_closed() -> bool:
    """Whether nobody reads stdout any more (``tdn inspect FILE | head``); the rest then goes nowhere."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors only
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
    return True
