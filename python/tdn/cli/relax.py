"""``tdn relax``: relax molecules and crystals to a minimum of a model's energy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = subparsers.add_parser("relax", help="relax structures, and cells, with a model", description=__doc__)
    parser.add_argument("model", help="checkpoint of tdn train or archive of tdn deploy")
    parser.add_argument("structures", help="file that ASE reads, with one structure or more; held atoms stay held")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="relaxed structures, any format of ASE")
    parser.add_argument("--optimizer", choices=("bfgs", "fire", "lbfgs"), default="bfgs", help="default: bfgs")
    parser.add_argument(
        "--fmax",
        type=float,
        default=0.01,
        help="largest force, eV/angstrom; for a cell also the virial per atom (default 0.01)",
    )
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="at most N steps (default 500)")
    parser.add_argument("--cell", action="store_true", help="relax the cell too; needs three periodic directions")
    parser.add_argument("--pressure", type=float, default=0.0, metavar="GPA", help="pressure on the cell, with --cell")
    parser.add_argument("--symmetry", action="store_true", help="keep the space group (spglib finds it)")
    parser.add_argument("--trajectory", metavar="FILE", help="file for every step of every structure, .xyz or .traj")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="precision of a checkpoint (default: its own)")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier output and trajectory")
    return parser


def run(args: argparse.Namespace) -> int:
    """Relax, write, and return 1 if a structure has not converged."""
    import ase.io

    from tdn.ase import TDNCalculator
    from tdn.data.dataset import read_frames
    from tdn.relaxation.files import check_output, check_trajectory, relax_all
    from tdn.relaxation.relax import Settings

    names = ("optimizer", "fmax", "steps", "cell", "pressure", "symmetry")
    settings = Settings(**{name: getattr(args, name) for name in names})
    frames = read_frames(args.structures)
    output_format = check_output(args.output, len(frames) > 1, args.overwrite)
    calculator = TDNCalculator(args.model, args.device, args.dtype)
    if args.trajectory:
        check_trajectory(args.trajectory, args.overwrite)
    done = []
    try:
        for relaxed in relax_all(frames, Path(args.structures).name, calculator, settings, args.trajectory):
            done.append(relaxed)
    finally:  # finished structures are kept when a later one fails or the user stops
        if done:
            ase.io.write(args.output, [relaxed.atoms for relaxed in done], format=output_format)
            print(f"wrote {args.output}: {len(done)} of {len(frames)} structures")
    missed = [number for number, relaxed in enumerate(done) if not relaxed.converged]
    if missed:
        which = ", ".join(map(str, missed))
        print(
            f"tdn relax: of {len(done)} structures, {which} did not converge to {args.fmax:g} eV/angstrom in "
            f"{args.steps} steps; allow more --steps, another --optimizer or a larger --fmax",
            file=sys.stderr,
        )
    return int(bool(missed))
