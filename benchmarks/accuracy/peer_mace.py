"""Trains MACE on the structures of a list of ``run.py``, for about the same CPU time, and tests it in the same way.

    python benchmarks/accuracy/peer_mace.py --python ENV/bin/python --train train.xyz isolated.xyz --test test.xyz \
        --epochs 100 --work runs/frontier/mace

ENV is a virtual environment with mace-torch (``benchmarks/peers/environments.py`` makes one). The result file in the
work folder has the form of ``run.py``'s. Options of MACE are those of its own example for this data set (its paper,
arXiv 2206.07697) but for the width, which a single core allows; float32, one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from run import RESULT, children_seconds

#: Structures of a step, as in ``acac.yaml``.
BATCH = 5
#: Time for an atom and step is taken of so many copies in one batch, as in ``run.py``.
COPIES = 64


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", type=Path, required=True, help="interpreter of an environment with mace-torch")
    options.add_argument("--train", type=Path, nargs="+", required=True, help="structures, and isolated atoms")
    options.add_argument("--test", type=Path, required=True)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--epochs", type=int, required=True)
    options.add_argument("--channels", type=int, default=32)
    options.add_argument("--max-l", type=int, default=1, help="highest degree of the messages")
    options.add_argument("--valid", type=float, default=0.1, help="fraction of the structures to hold out")
    args = options.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    references, n_train = prepare(args.train, args.test, args.valid, args.work)
    before = children_seconds()
    train(args, references)
    result = {
        "cpu_s": children_seconds() - before,
        "epochs": args.epochs,
        "steps": args.epochs * math.ceil(n_train / BATCH),
        **json.loads(
            launch([args.python, Path(__file__).with_name("mace_worker.py"), "acac.model", COPIES], args.work)
        ),
    }
    (args.work / RESULT).write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def prepare(train: list[Path], test: Path, valid: float, work: Path) -> tuple[dict[int, float], int]:
    """Write the files with the names of labels that MACE wants.

    Returns:
        Energies of isolated atoms by atomic number, and the number of training structures.
    """
    structures = [atoms for path in train for atoms in ase.io.read(path, ":")]
    isolated = {int(a.numbers[0]): float(a.get_potential_energy()) for a in structures if len(a) == 1}
    molecules = [atoms for atoms in structures if len(atoms) > 1]
    order = np.random.default_rng(0).permutation(len(molecules))
    n_valid = round(valid * len(molecules))
    parts = {
        "valid": [molecules[i] for i in order[:n_valid]],
        "train": [molecules[i] for i in order[n_valid:]],
        "test": ase.io.read(test, ":"),
    }
    for name, part in parts.items():
        ase.io.write(work / f"{name}.xyz", [renamed(atoms) for atoms in part], format="extxyz")
    return isolated, len(parts["train"])


def renamed(atoms: Any) -> Any:
    """A copy with its labels under the names that no calculator takes for its own."""
    out = atoms.copy()
    out.info = {"REF_energy": float(atoms.get_potential_energy())}
    out.arrays["REF_forces"] = atoms.get_forces()
    return out


def train(args: argparse.Namespace, references: dict[int, float]) -> None:
    """One run of MACE's own trainer."""
    settings = {
        "name": "acac",
        "train_file": "train.xyz",
        "valid_file": "valid.xyz",
        "E0s": str(references),
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "model": "MACE",
        "num_interactions": 2,
        "num_channels": args.channels,
        "max_L": args.max_l,
        "correlation": 3,
        "r_max": 5.0,
        "batch_size": BATCH,
        "valid_batch_size": 10,
        "max_num_epochs": args.epochs,
        "patience": 10 * args.epochs,
        "eval_interval": 5,
        "energy_weight": 20.0,
        "forces_weight": 1.0,
        "lr": 0.01,
        "scheduler": "ExponentialLR",
        # to 1 % at the end, as ours; MACE's own rule waits for plateaus, which a short run does not reach
        "lr_scheduler_gamma": 0.01 ** (1.0 / args.epochs),
        "ema_decay": 0.995,
        "default_dtype": "float32",
        "device": "cpu",
        "seed": 0,
        "error_table": "TotalRMSE",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()] + ["--ema", "--amsgrad"]
    trainer = args.python.absolute().with_name("mace_run_train")
    launch([trainer, *flags], args.work, quiet=False)


def launch(command: list[Any], folder: Path, quiet: bool = True) -> str:
    """Run with one thread in a folder and return what was printed."""
    command = [str(Path(command[0]).absolute()), *map(str, command[1:])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=folder, env=environment, check=True, text=True, stdout=pipe)
    return done.stdout.strip().splitlines()[-1] if quiet else ""


if __name__ == "__main__":
    main()
