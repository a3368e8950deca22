"""What a run will need on every rank, computed before anything runs. Only measuring imports torch."""

from tdn.plan.estimate import Estimate, estimate
from tdn.plan.rates import Rates, read_rates
from tdn.plan.report import describe, format_plan, parse_plan, tabulate
from tdn.plan.workload import ModelSize, System, model_size

__all__ = [
    "Estimate",
    "ModelSize",
    "Rates",
    "System",
    "describe",
    "estimate",
    "format_plan",
    "model_size",
    "parse_plan",
    "read_rates",
    "tabulate",
]
