"""The summary of a training run, stored beside the weights in its checkpoints."""

from __future__ import annotations

from typing import Any

from tdn.checkpoints import pack_model
from tdn.config.run import TrainConfig
from tdn.training.prepare import TrainingData
from tdn.training.session import Session


def pack(session: Session, config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """The checkpoint's entry for ``tdn.load``, with the summary of the training."""
    row = session.state.history[-1] if session.state.history else {}
    elements, statistics = data.model_config.elements, data.statistics
    summary = {
        "elements": elements,
        "n_train": len(data.train),
        "n_valid": len(data.valid),
        "files": data.files,
        "min_distance": statistics.min_distance,
        "min_distances": statistics.min_distances,
        "references": dict(zip(elements, statistics.references, strict=True)),
        "references_from": statistics.references_from,
        "energy_scale": statistics.scale,
        "dtype": config.training.weight_dtype,
        "epoch": session.state.epoch,
        "steps": session.state.step,
        "loss": {part: row[f"{part}_loss"] for part in ("train", "valid") if row},
        "errors": {part: errors_of(row, part) for part in ("train", "valid")},
        "config": config.to_dict(),
    }
    model = session.module.best_model
    if model.energy_convention == "extensive":
        return pack_model(model, statistics.references, statistics.scale, summary)
    # a model of an energy per atom has no references in its weights, so the summary holds them
    return pack_model(model, [0.0] * len(elements), float(model.references.scale), summary)


def errors_of(row: dict[str, float], part: str) -> dict[str, float]:
    """Errors of one part of the data, without its prefix: ``force_rmse`` in meV/angstrom and so on."""
    named = {key.removeprefix(f"{part}_"): value for key, value in row.items() if key.startswith(f"{part}_")}
    return {key: value for key, value in named.items() if key.endswith(("_mae", "_rmse"))}
