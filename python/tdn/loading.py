"""``tdn.load``: a model from a checkpoint or from an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tdn.errors import TDNError, needs

if TYPE_CHECKING:
    from tdn.model.protocol import Model


def load(path: str | Path, device: str = "cpu") -> Model:
    """Load a trained model.

    Args:
        path: a checkpoint (``*.ckpt``, of ``tdn train`` or ``tdn import-airs``) or an archive (``*.tdn.pt``).
        device: torch device.

    Returns:
        A model that is called with a :class:`tdn.data.graph.Graph`: a :class:`tdn.model.TDN`, a baseline
        (docs/baselines.md) or that of an archive. :class:`tdn.model.protocol.Model` is their common interface.

    Raises:
        TDNError: the file is missing or unreadable, its format is newer than this package, or the device is missing.
    """
    path = Path(path)
    check_device(device)
    if not path.is_file():
        raise TDNError(f"model file '{path}' does not exist; give a checkpoint or an archive *.tdn.pt")
    from tdn.deployment.archive import is_archive
    from tdn.deployment.deployed import DeployedModel

    if is_archive(path):
        return DeployedModel(path, device)
    try:
        from tdn.checkpoints import load_model
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise TDNError(f"'{path}' is a checkpoint, not an archive: {needs('torch')}") from None
    return load_model(path).to(device)


def check_device(device: str) -> None:
    """Refuse a device that torch does not know or does not find."""
    if device == "cpu":
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise TDNError(f"the device is {device!r}, which torch does not know; use 'cpu' or 'cuda'") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise TDNError(f"the device is {device!r} but torch sees no GPU; use 'cpu'")
