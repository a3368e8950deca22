"""Architectures to compare with, in the same trainer: SchNet and PaiNN (docs/baselines.md)."""

from tdn.baselines.model import Baseline
from tdn.config.baselines import BaselineConfig, PaiNNConfig, SchNetConfig

__all__ = ["Baseline", "BaselineConfig", "PaiNNConfig", "SchNetConfig"]
