"""Errors of the trained model: the trainer uses what ``tdn evaluate`` uses."""

from __future__ import annotations

from tdn.analysis.evaluation import Evaluation, evaluate
from tdn.analysis.report import error_table

__all__ = ["Evaluation", "error_table", "evaluate"]
