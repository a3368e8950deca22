"""``tdn evaluate``: print errors of a model on labeled structures of any format, by element and size of the force."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tdn.cli.source_options import add_source_options, open_sources

if TYPE_CHECKING:
    from tdn.data.source import Source
    from tdn.evaluation.evaluate import Evaluation


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser(
        "evaluate", help="print errors of a model on labeled structures", description=__doc__
    )
    parser.add_argument("model", help="checkpoint of tdn train or archive of tdn deploy")
    parser.add_argument("data", nargs="+", help="extended XYZ, anything else ASE reads, LMDB of PubChemQCR, OC20, OC22")
    add_source_options(parser)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="evaluate at most N structures, evenly spread over the data"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="structures predicted together (default 4)")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--plot", metavar="PNG", help="write parity plots and errors by element and force")
    parser.add_argument("--csv", metavar="FILE", help="write the errors of each structure")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    return parser


def run(args: argparse.Namespace) -> None:
    """Predict and print."""
    from tdn.errors import TDNError
    from tdn.evaluation.report import as_dict, report
    from tdn.files import check_target

    if args.batch_size < 1:
        raise TDNError(f"--batch-size is {args.batch_size}; give a positive number")
    for path in filter(None, (args.plot, args.csv)):
        check_target(path, overwrite=True)
    source, result = evaluated(args)
    if args.plot:
        from tdn.evaluation.plots import plot_parity

        plot_parity(result, Path(args.plot))
    if args.json:
        about = {"files": source.file_names, "left_out": source.left_out}
        print(json.dumps({**about, **as_dict(result)}, indent=1))
        return
    print(f"{result.n_structures} structures ({result.n_atoms} atoms) of {', '.join(source.file_names)}")
    for reason, number in source.left_out.items():
        print(f"left out: {number} ({reason})")
    print(report(result))


def evaluated(args: argparse.Namespace) -> tuple[Source, Evaluation]:
    """The data that were read, and their errors."""
    from collections import deque
    from contextlib import nullcontext

    import tdn
    from tdn.data.progress import tracked
    from tdn.evaluation.evaluate import evaluate
    from tdn.evaluation.report import structure_log
    from tdn.evaluation.stream import labeled_graphs, spread, with_unread

    model = tdn.load(args.model, args.device)
    source = spread(open_sources(args.data, args), args.limit)
    names: deque[str] = deque()
    graphs = labeled_graphs(source, model.elements, model.cutoff, names if args.csv else None)
    with structure_log(args.csv, names) if args.csv else nullcontext() as log:
        graphs = tracked(graphs, len(source), "evaluating")
        return source, with_unread(evaluate(model, graphs, args.batch_size, log), source)
