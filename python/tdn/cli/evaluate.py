"""``tdn evaluate``: errors of a model on labeled structures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("evaluate", help="errors of a model on labeled structures", description=__doc__)
    parser.add_argument("model", help="checkpoint of tdn train or archive of tdn deploy")
    parser.add_argument("data", nargs="+", help="files that ASE reads, with energies and forces")
    parser.add_argument("--batch-size", type=int, default=4, help="structures predicted together (default 4)")
    parser.add_argument("--plot", metavar="PNG", help="write a parity plot")
    parser.add_argument("--json", action="store_true", help="print the errors as JSON instead of a table")
    return parser


def run(args: argparse.Namespace) -> None:
    """Predict and print."""
    import tdn
    from tdn.data import read_labeled
    from tdn.errors import TDNError
    from tdn.files import check_target
    from tdn.training.evaluation import error_table, evaluate

    if args.batch_size < 1:
        raise TDNError(f"--batch-size is {args.batch_size}; give a positive number")
    if args.plot:
        check_target(args.plot, overwrite=True)
    model = tdn.load(args.model)
    data = read_labeled(args.data, model.elements, model.cutoff)
    graphs = data.graphs + data.isolated
    result = evaluate(model, graphs, model.dtype, batch_size=args.batch_size)
    if args.plot:
        from tdn.training.plots import plot_parity

        plot_parity(result, Path(args.plot))
    if args.json:
        print(json.dumps({"n_structures": len(graphs), **result.errors}, indent=1))
    else:
        print(f"{len(graphs)} structures of {', '.join(data.files)}")
        print(error_table(result.errors))
