"""``tdn import-airs``: convert weights of the published TDN code (AIRS, OpenMol/TDN) to a checkpoint of tdn."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("import-airs", help="read a checkpoint of the published code", description=__doc__)
    parser.add_argument("file", help="checkpoint (.pth) of the published code")
    parser.add_argument("-o", "--output", required=True, metavar="CKPT", help="checkpoint to write")
    parser.add_argument("--cutoff", type=float, default=4.5, help="cutoff in angstrom; not in the file (default 4.5)")
    parser.add_argument("--avg-nodes", type=float, default=36.6, help="constant of the energy readout (default 36.6)")
    parser.add_argument("--avg-degree", type=float, default=18.6, help="constant of the embedding (default 18.6)")
    parser.add_argument(
        "--forces",
        choices=("direct", "gradient"),
        default="direct",
        help="kind of forces that the model was trained for",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing checkpoint")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read, convert, write."""
    from tdn.checkpoints import save_model
    from tdn.interop.airs import load_airs, summary

    model = load_airs(
        args.file,
        cutoff=args.cutoff,
        avg_num_nodes=args.avg_nodes,
        avg_degree=args.avg_degree,
        forces=args.forces,
    )
    save_model(model, args.output, summary(args.file, model), overwrite=args.overwrite)
    config = model.config
    print(f"wrote {args.output}: {config.n_layers} layers, {config.n_channels} channels, l_max {config.l_max}")
    print("its energy is per atom and not extensive, and it has no cutoff envelope: see 'tdn inspect' after deploy")
