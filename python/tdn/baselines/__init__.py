"""Architectures to compare with, in the same trainer: SchNet and PaiNN (docs/baselines.md)."""

from tdn.baselines.config import BaselineConfig, PaiNNConfig, SchNetConfig
from tdn.baselines.model import Baseline

__all__ = ["Baseline", "BaselineConfig", "PaiNNConfig", "SchNetConfig"]
