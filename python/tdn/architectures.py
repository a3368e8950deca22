"""The model of an architecture's settings: the one place that knows all models."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tdn.baselines import Baseline
from tdn.config.baselines import BaselineConfig
from tdn.config.model import ModelConfig
from tdn.config.settings import Settings
from tdn.model import TDN
from tdn.model.potential import Potential


def build_model(config: Settings) -> Potential:
    """Model with random weights."""
    if isinstance(config, BaselineConfig):
        return Baseline(config)
    assert isinstance(config, ModelConfig)
    return TDN(config)


def model_from_state(config: Settings, state: Mapping[str, Tensor]) -> Potential:
    """Model with stored weights, in their dtype."""
    if isinstance(config, BaselineConfig):
        return Baseline.from_state(config, state)
    assert isinstance(config, ModelConfig)
    return TDN.from_state(config, state)
