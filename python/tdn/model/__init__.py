"""The TDN model: settings, network in segments, predictions."""

from tdn.model.config import ModelConfig
from tdn.model.tdn import TDN, Prediction

__all__ = ["TDN", "ModelConfig", "Prediction"]
