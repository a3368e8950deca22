"""The label of an archive: what every reader needs, and what a person wants to know about the model."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

import torch

import tdn
from tdn import schema
from tdn.algebra.clebsch_gordan import coupling_tensor
from tdn.model import TDN
from tdn.model.product import CPCoupling

CITATION = """@inproceedings{lin2025tdn,
  title = {Tensor Decomposition Networks for Fast Machine Learning Interatomic Potential Computations},
  author = {Lin, Yuchao and Fu, Cong and Krueger, Zachary and Yu, Haiyang and Nakata, Maho and Xie, Jianwen and
            Kucukbenli, Emine and Qian, Xiaofeng and Ji, Shuiwang},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2025},
  note = {arXiv:2507.01131}
}"""


def make_label(model: TDN, dtype: torch.dtype, name: str, training: dict[str, Any]) -> dict[str, Any]:
    """The label before verification."""
    config = model.config
    width = config.n_components * config.n_channels
    return {
        schema.FORMAT: schema.FORMAT_NAME,
        schema.VERSION: schema.FORMAT_VERSION,
        schema.MODEL_NAME: name,
        schema.ELEMENTS: list(config.elements),
        schema.CUTOFF: config.cutoff,
        schema.N_LAYERS: config.n_layers,
        schema.LAYER_WIDTHS: [width] * config.n_layers,
        schema.FORCE_WIDTH: width if config.direct_forces else 0,
        schema.DTYPE: str(dtype).removeprefix("torch."),
        schema.LENGTH_UNIT: "angstrom",
        schema.ENERGY_UNIT: "eV",
        schema.ENERGY_CONVENTION: config.energy_convention,
        schema.FORCE_KINDS: list(config.force_kinds),
        schema.SMOOTH_CUTOFF: config.smooth,
        schema.MIN_DISTANCE: float(training.get("min_distance") or 0.0),
        schema.CITATION: CITATION,
        schema.TORCH_VERSION: str(torch.__version__),
        schema.MIN_DISTANCES: training.get("min_distances") or {},
        "tdn_version": tdn.__version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "weights_hash": weights_hash(model),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "cp_error": cp_error(model),
        schema.MODEL_CONFIG: config.to_dict(),
        "training": training,
    }


def weights_hash(model: TDN) -> str:
    """SHA-256 over names and bytes of the stored state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def cp_error(model: TDN) -> float:
    """Relative Frobenius error of the model's coupling tensor; zero for the exact product."""
    coupling = model.network.geometry.coupling
    if not isinstance(coupling, CPCoupling):
        return 0.0
    config = model.config
    exact = coupling_tensor(config.l_max, config.paths, "component" if config.smooth else "none")
    factors = (coupling.output.double(), coupling.first.double(), coupling.second.double())
    return float((torch.einsum("kr,ir,jr->kij", *factors) - exact).norm() / exact.norm())
