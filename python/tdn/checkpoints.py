"""Checkpoints: the model is stored under one key, as plain types, beside what a resumed run needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tdn.conventions import free_energies
from tdn.errors import TDNError
from tdn.files import check_target, read_tensors, write_atomically

if TYPE_CHECKING:
    from tdn.model.potential import Potential

#: Key of the part that ``load_model`` reads.
KEY = "tdn"
#: Entries under that key.
PARTS = ("format_version", "model_config", "model_state", "training")
#: Raised with every change that an older reader would misunderstand.
FORMAT_VERSION = 1


def pack_model(model: Potential, references: Sequence[float], scale: float, summary: dict[str, Any]) -> dict[str, Any]:
    """The part of a checkpoint that ``load_model`` reads.

    Args:
        model: as it was trained, on energies above the references.
        references: eV per element, written into the stored weights.
        scale: eV, the model's energy unit.
        summary: training data and errors of the model.
    """
    model = copy.deepcopy(model)
    model.set_references(references, scale)
    return pack(model, summary)


def pack(model: Potential, summary: dict[str, Any]) -> dict[str, Any]:
    """Config, weights and summary as plain types."""
    from tdn.config.architectures import config_to_dict

    return {
        "format_version": FORMAT_VERSION,
        "model_config": plain(config_to_dict(model.config)),
        "model_state": {name: value.detach().cpu() for name, value in model.state_dict().items()},
        "training": plain(summary),
    }


def plain(value: Any) -> Any:
    """Copy that contains only dictionaries, lists, text and numbers, which ``weights_only`` loading accepts."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Whole content of a checkpoint; only tensors and plain types are accepted."""
    content = read_tensors(path, "a best.ckpt or last.ckpt of tdn train")
    if KEY not in content:
        raise TDNError(
            f"'{path}' is not a checkpoint of tdn: it has no entry '{KEY}'; give one that tdn train wrote, or convert "
            "a file of the published code with tdn import-airs"
        )
    packed = content[KEY]
    missing = [part for part in PARTS if not isinstance(packed, dict) or part not in packed]
    if missing:
        raise TDNError(
            f"checkpoint '{path}' is damaged: its entry '{KEY}' lacks {', '.join(missing)}; give another checkpoint"
        )
    version = packed["format_version"]
    if version > FORMAT_VERSION:
        raise TDNError(
            f"checkpoint '{path}' has format version {version} and this tdn reads up to {FORMAT_VERSION}; update tdn"
        )
    return content


def load_model(path: str | Path) -> Potential:
    """Model with the weights of a checkpoint, in their dtype, ready to predict."""
    return load_with_summary(path)[0]


def load_with_summary(path: str | Path) -> tuple[Potential, dict[str, Any]]:
    """Model of a checkpoint, and the summary of its training data and errors."""
    from tdn.architectures import model_from_state
    from tdn.config.architectures import stored_config

    packed = read_checkpoint(path)[KEY]
    try:
        model = model_from_state(stored_config(packed["model_config"]), packed["model_state"])
        model.free_energies = free_energies(packed["training"], model.elements, model.energy_convention)
        return model, packed["training"]
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        reason = str(problem).splitlines()[-1].strip()
        raise TDNError(
            f"the weights of checkpoint '{path}' do not fit its configuration ({reason}); give another checkpoint"
        ) from None


def save_model(model: Potential, path: str | Path, summary: dict[str, Any], overwrite: bool = False) -> None:
    """Write a model that was not trained here (imported weights) as a checkpoint that ``load_model`` reads."""
    target = check_target(path, overwrite)
    content = {KEY: pack(model, summary)}
    write_atomically(lambda part: torch.save(content, part), target)


def training_summary(path: str | Path) -> dict[str, Any]:
    """Training data and errors of a checkpoint's model."""
    return read_checkpoint(path)[KEY]["training"]
