"""``tdn.load``: a model from a checkpoint or from an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tdn.errors import TDNError

if TYPE_CHECKING:
    from tdn.deploy.deployed import DeployedModel
    from tdn.model import TDN


def load(path: str | Path, device: str = "cpu") -> TDN | DeployedModel:
    """Load a trained model.

    Args:
        path: a checkpoint (``*.ckpt``, of ``tdn train`` or ``tdn import-airs``) or an archive (``*.tdn.pt``).
        device: torch device.

    Returns:
        A model that is called with a :class:`tdn.data.graph.Graph`; both kinds have ``elements``, ``cutoff``,
        ``dtype`` and ``energy_convention``.

    Raises:
        TDNError: missing or unreadable file, or a format newer than this package.
    """
    path = Path(path)
    if not path.is_file():
        raise TDNError(f"model file '{path}' does not exist; give a checkpoint or an archive *.tdn.pt")
    from tdn.deploy.archive import is_archive
    from tdn.deploy.deployed import DeployedModel

    if is_archive(path):
        return DeployedModel(path, device)
    from tdn.training.checkpoint import load_model

    return load_model(path).to(device)
