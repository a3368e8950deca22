"""The folder of a run: whether it may be used, which files are written to it, and which are removed again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from tdn.checkpoints import KEY, plain, read_checkpoint
from tdn.config.architectures import config_to_dict, stored_config
from tdn.config.data import DataConfig
from tdn.config.run import TrainConfig
from tdn.config.settings import Settings
from tdn.config.training import FREE_ON_RESUME, TrainingConfig
from tdn.errors import TDNError
from tdn.statistics.collect import Statistics
from tdn.training.run_lock import LOCK_FILE
from tdn.training.saving import BEST, LAST, LOG_FILE

CONFIG_FILE = "config.yaml"
CURVE_FILE = "learning_curve.png"
PARITY_FILE = "parity.png"
#: Files of a run; ``overwrite`` removes these and no others.
RUN_FILES = (BEST, LAST, LOG_FILE, CONFIG_FILE, CURVE_FILE, PARITY_FILE)


def check_folder(config: TrainConfig, folder: Path, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Refuse to overwrite a run silently or to resume a different one; return the checkpoint of the run to resume."""
    if resume and overwrite:
        raise TDNError("--resume and --overwrite exclude each other; give one of them")
    if resume:
        before: dict[str, Any] = read_checkpoint(folder / LAST)[KEY]
        check_same_run(config, before["training"]["config"])
        return before
    if not overwrite and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise TDNError(
            f"the run folder '{folder}' exists; continue with --resume, replace its files with --overwrite, "
            "or change run_dir"
        )
    return None


def check_same_run(config: TrainConfig, before: dict[str, Any]) -> None:
    """Refuse options that change a step of the interrupted run."""
    now = plain(config.to_dict())
    defaults = {"data": defaults_of(DataConfig), "training": defaults_of(TrainingConfig), "model": {}}
    for section, missing in defaults.items():
        for name in {**before[section], **now[section]}:
            old, new = before[section].get(name, missing.get(name)), now[section].get(name)
            if old != new and not (section == "training" and name in FREE_ON_RESUME):
                raise TDNError(
                    f"{section}.{name} is {new!r} but the run to resume has {old!r}; restore it or change run_dir"
                )


def check_same_model(settings: Settings, stored: dict[str, Any]) -> None:
    """Refuse another model: its defaults may have changed since the interruption; averages of data are not compared."""
    before, now = config_to_dict(stored_config(stored)), config_to_dict(settings)
    for name, old in before.items():
        if now.get(name) != old and not name.startswith("avg_"):
            raise TDNError(
                f"model.{name} is {now.get(name)!r} but the run to resume has {old!r}; write model.{name}: {old} into "
                "the configuration or change run_dir"
            )


def check_same_data(statistics: Statistics, n_train: int, n_valid: int, before: dict[str, Any]) -> None:
    """Refuse files whose contents have changed: the rest of the run would have another scale and other references.

    Args:
        statistics: of the training structures now.
        n_train: number of training structures now.
        n_valid: number of validation structures now.
        before: summary of the run to resume.
    """
    stored = before.get("references") or {}
    now: dict[str, float] = {
        "number of training structures": n_train,
        "number of validation structures": n_valid,
        "energy scale (eV)": statistics.scale,
        "shortest distance (angstrom)": statistics.min_distance,
        **{f"reference energy of {e} (eV)": x for e, x in zip(before["elements"], statistics.references, strict=True)},
    }
    values = (before.get(name) for name in ("n_train", "n_valid", "energy_scale", "min_distance"))
    for (name, new), old in zip(now.items(), [*values, *(stored.get(e) for e in before["elements"])], strict=True):
        if old is not None and not math.isclose(new, old, rel_tol=1e-6, abs_tol=1e-6):
            raise TDNError(
                f"the data have changed since the run to resume began: the {name} was {old:.10g} and is {new:.10g}; "
                "restore the files or change run_dir"
            )


def defaults_of(kind: type) -> dict[str, Any]:
    """Values of options that an earlier version did not have."""
    return {option.name: option.default for option in fields(kind)}


@contextmanager
def open_folder(config: TrainConfig, folder: Path, overwrite: bool) -> Iterator[None]:
    """Write the configuration to the folder and, with ``overwrite``, remove the files of an earlier run.

    A run that ends before it has written anything else removes it again.
    """
    if overwrite:
        for name in RUN_FILES:
            (folder / name).unlink(missing_ok=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config.to_dict(), sort_keys=False), encoding="utf-8")
    try:
        yield
    finally:
        if not any((folder / name).exists() for name in (BEST, LAST, LOG_FILE)):
            (folder / CONFIG_FILE).unlink(missing_ok=True)
