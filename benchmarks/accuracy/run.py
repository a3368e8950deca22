"""Trains every model of a list for the same time or epochs, tests it, and measures its cost per atom and step.

    python benchmarks/accuracy/run.py benchmarks/accuracy/frontier_acac.yaml --work runs/frontier

Each model is trained by ``tdn train``, tested by ``tdn evaluate`` and deployed; its cost is what the deployed model
takes for an atom and step on one core of this machine (``tdn profile`` on the structure that the list names). Models
that are done are not run again: an interrupted list goes on. ``peers`` of a list are trained by other programs
(``peer_mace.py``), which leave a result file of the same form.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cpu"))
from report import machine, parser, publish

RESULT = "result.json"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("experiments", type=Path, help="YAML file with base, tests, minutes and models")
    options.add_argument("--work", type=Path, required=True, help="folder for runs; finished ones in it are kept")
    options.add_argument("--only", nargs="*", help="train these models only; the table has all that are finished")
    args = options.parse_args()
    plan = yaml.safe_load(args.experiments.read_text())
    base = yaml.safe_load((args.experiments.parent / plan["base"]).read_text())
    for name, changes in plan["models"].items():
        if not args.only or name in args.only:
            run_model(args.work / name, changed(base, plan, changes or {}), plan)
    done = {name: args.work / name / RESULT for name in [*plan["models"], *plan.get("peers", {})]}
    results = {name: json.loads(path.read_text()) for name, path in done.items() if path.is_file()}
    for name, result in results.items():
        log = args.work / name / "run" / "metrics.csv"
        if log.is_file():
            result["s_per_epoch"] = seconds_per_epoch(log)
            if args.output:
                keep_log(log, args.output, name)
    publish(table(plan, results), args.output, frontier(plan, results) if len(results) > 1 else None)


def changed(base: dict[str, Any], plan: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base configuration with dotted options replaced, in the time that all models get if the plan gives one."""
    config = copy.deepcopy(base)
    for dotted, value in {**plan.get("changes", {}), **changes}.items():
        section, option = dotted.split(".")
        config[section][option] = value
    if "minutes" in plan:
        config["training"]["max_time"] = plan["minutes"]
    return config


def run_model(folder: Path, config: dict[str, Any], plan: dict[str, Any]) -> None:
    """Train, test and time one model; its numbers go to a file in its folder."""
    if (folder / RESULT).is_file():
        return
    print(f"== {folder.name}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    config["run_dir"] = "run"
    (folder / "train.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    before = children_seconds()
    resume = ["--resume"] if (folder / "run" / "last.ckpt").is_file() else []
    tdn("train", folder / "train.yaml", *resume)
    best = folder / "run" / "best.ckpt"
    result: dict[str, Any] = {"cpu_s": children_seconds() - before}
    for name, path in plan["tests"].items():
        result[name] = json.loads(tdn("evaluate", best, os.path.expandvars(path), "--json", quiet=True))
    result.update(training_of(best))
    if plan.get("deploy", True):
        archive = folder / "model.tdn.pt"
        tdn("deploy", best, "-o", archive, "--overwrite")
        result["us_per_atom"] = cost(archive, plan)
    (folder / RESULT).write_text(json.dumps(result, indent=1))


def children_seconds() -> float:
    """CPU time of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tdn(*arguments: Any, quiet: bool = False) -> str:
    """Run a command of tdn and return what it printed."""
    command = [sys.executable, "-m", "tdn.cli", *map(str, arguments)]
    answer = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE if quiet else None)
    return answer.stdout or ""


def training_of(checkpoint: Path) -> dict[str, Any]:
    """Steps, epochs and number of weights of a finished run."""
    from tdn.checkpoints import KEY, read_checkpoint

    content = read_checkpoint(checkpoint)[KEY]
    history = read_checkpoint(checkpoint.with_name("last.ckpt"))["run"]["history"]
    weights = sum(value.numel() for value in content["model_state"].values() if value.dtype.is_floating_point)
    return {"steps": history[-1]["step"], "epochs": history[-1]["epoch"], "weights": weights}


def keep_log(log: Path, output: Path, name: str) -> None:
    """Write some fifty epochs of a run's log beside the table."""
    header, *rows = log.read_text().splitlines()
    folder = output.with_name(f"{output.stem}_logs")
    folder.mkdir(exist_ok=True)
    step = -(-len(rows) // 50)
    kept = [row for k, row in enumerate(rows, 1) if k % step == 0 or k == len(rows)]
    (folder / f"{name.replace(' ', '_')}.csv").write_text("\n".join([header, *kept]) + "\n")


def seconds_per_epoch(log: Path) -> float:
    """The median of a run's log."""
    header, *rows = log.read_text().splitlines()
    column = header.split(",").index("elapsed_s")
    times = [float(row.split(",")[column]) for row in rows]
    return statistics.median(b - a for a, b in itertools.pairwise(times))


def cost(archive: Path, plan: dict[str, Any]) -> float:
    """Microseconds for an atom and step, energy and forces, one thread, of the box that the plan names."""
    import ase.io

    from tdn.data import graph_from_atoms
    from tdn.plan.profile import profile

    box = ase.io.read(os.path.expandvars(plan["box"]), index=0)
    box = box.repeat(plan.get("repeat", 1)) if box.pbc.all() else copies(box, plan.get("copies", 64))
    found = profile(archive, lambda model: graph_from_atoms(box, model.elements, model.cutoff), 7)
    return 1e6 * found.seconds / found.n_atoms


def copies(molecule: Any, number: int) -> Any:
    """That many molecules in a row, too far apart to see each other."""
    from ase import Atoms

    row = Atoms()
    for k in range(number):
        moved = molecule.copy()
        moved.calc = None
        moved.positions[:, 0] += 100.0 * k
        row += moved
    return row


def table(plan: dict[str, Any], results: dict[str, Any]) -> list[str]:
    """One line for each model: what it is, its errors, what it costs."""
    lines = [f"# {plan['title']}", "", plan["text"].strip(), "", machine(), ""]
    tests = [f"{name}: energy {plan['energy_unit']}, force meV/A" for name in plan["tests"]]
    columns = ["model", "change", "weights", "epochs", "steps", "CPU s", "s per epoch", *tests, "us per atom and step"]
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for name, result in results.items():
        changes = description(plan, name)
        errors = [f"{energy_error(plan, result[test]):.2f}, {result[test]['force_rmse']:.2f}" for test in plan["tests"]]
        numbers = [f"{result['weights']}", f"{result['epochs']}", f"{result['steps']}", f"{result['cpu_s']:.0f}"]
        numbers.append(f"{result['s_per_epoch']:.2f}" if "s_per_epoch" in result else "-")
        price = f"{result['us_per_atom']:.0f}" if "us_per_atom" in result else "-"
        lines.append("| " + " | ".join([name, changes or "-", *numbers, *errors, price]) + " |")
    return lines


def description(plan: dict[str, Any], name: str) -> str:
    """The options that a model of ours changes; what the list says of a peer."""
    if name in plan.get("peers", {}):
        return plan["peers"][name]
    return ", ".join(f"{key.split('.')[1]} {value}" for key, value in (plan["models"][name] or {}).items())


def energy_error(plan: dict[str, Any], errors: dict[str, float]) -> float:
    """RMSE of the energy in the unit that the plan shows."""
    return errors["energy_total_rmse" if plan["energy_unit"] == "meV" else "energy_rmse"]


def frontier(plan: dict[str, Any], results: dict[str, Any]) -> Any:
    """Error of the forces against the time per atom and step; the line joins those of ours that none beats in both."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    test = next(iter(plan["tests"]))
    points = sorted(
        (r["us_per_atom"], r[test]["force_rmse"], name) for name, r in results.items() if "us_per_atom" in r
    )
    if not points:
        return None
    figure, axis = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    ours = [point for point in points if point[2] in plan["models"]]
    best = [p for k, p in enumerate(ours) if all(p[1] < other[1] for other in ours[:k])]
    axis.plot([p[0] for p in best], [p[1] for p in best], "-", color="0.7", zorder=0)
    for time, error, name in points:
        axis.plot(time, error, "o", color="tab:blue" if name in plan["models"] else "tab:orange")
        axis.annotate(name, (time, error), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axis.set(xlabel="us per atom and step, one core", ylabel=f"force RMSE, {test} (meV/A)", xscale="log", yscale="log")
    axis.grid(alpha=0.3, which="both")
    return figure


if __name__ == "__main__":
    main()
