"""Builds the model of an architecture from its settings: the only module that knows all models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
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


@contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """New modules get this dtype, including their constants (casting these later would keep float32's error)."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if name == "float64" else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
