"""The TDN model: settings, network in segments, predictions."""

from tdn.config.model import ModelConfig
from tdn.model.prediction import Prediction
from tdn.model.tdn import TDN

__all__ = ["TDN", "ModelConfig", "Prediction"]
