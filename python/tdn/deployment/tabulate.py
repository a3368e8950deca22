"""Determines how many knots the radial tables of an archive need, from the network, when it is deployed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from tdn.config.model import ModelConfig
from tdn.deployment.network import DeployedNetwork
from tdn.deployment.tables import evaluate_table, hermite_table
from tdn.deployment.verify import Verdict
from tdn.model.radial import polynomial_envelope

#: Largest difference of table and network, in values and in derivatives, relative to the table's largest value.
BOUND = 1e-6
MIN_INTERVALS, MAX_INTERVALS = 32, 2048
#: Highest l_max of kernels with a radial weight for each path (pair_tdn/engine/cpu/layer_kernel.h, MAX_SEPARATE).
MAX_SEPARATE_L = 2
#: Points in each interval at which the two are compared.
POINTS = 7
#: Number of compared pairs of elements, half of them of one element with itself.
MAX_PAIRS = 16


@dataclass(frozen=True)
class Tabulation:
    """Tables with this many intervals, and their deviation from the network (relative, see :data:`BOUND`)."""

    intervals: int
    value_error: float
    derivative_error: float

    @property
    def within_bound(self) -> bool:
        """False also when an error is not a number."""
        return self.value_error <= BOUND and self.derivative_error <= BOUND

    @property
    def n_knots(self) -> int:
        """Knots of an archive with this tabulation; 0 if the tables are not accurate enough."""
        return self.intervals + 1 if self.within_bound else 0

    def label(self) -> dict[str, float] | None:
        """For the label of the archive."""
        return asdict(self) if self.within_bound else None

    def verdicts(self) -> list[Verdict]:
        """For the verdict table: both errors, or one sentence if the networks are kept."""
        errors = {"value": self.value_error, "derivative": self.derivative_error}
        if self.within_bound:
            return [Verdict(f"radial tables: {name} - network's, relative", e, BOUND) for name, e in errors.items()]
        missed = {name: e for name, e in errors.items() if not e <= BOUND}
        name = max(missed, key=lambda key: missed[key])
        sentence = f"radial {name}: tables of {self.intervals} intervals miss {BOUND:.0e}, so the networks are kept"
        return [Verdict(sentence, missed[name], math.inf)]


def has_kernels(config: ModelConfig) -> bool:
    """Whether the fused engine has kernels for the product of a model; if not, tables would be of no use."""
    return config.path_weights == "shared" or (config.paths == "o3" and config.l_max <= MAX_SEPARATE_L)


def no_tables(config: ModelConfig) -> list[Verdict]:
    """For the verdict table: why an archive without tables is slower than expected."""
    if has_kernels(config):
        return []
    sentence = "path_weights separate: no fused kernels for l_max above 2 or SO(3) paths, engine script runs it"
    return [Verdict(sentence, 0.0, math.inf)]


def tabulation(network: DeployedNetwork) -> Tabulation:
    """Smallest number of intervals (32, 64, ...) within the bound; the largest number tried if none is.

    Models of more than four elements are compared on at most 16 ordered pairs, half of them of one element with itself.
    """
    network = copy.deepcopy(network).to(torch.float64)
    pairs = checked_pairs(network.embedding.n_elements if network.smooth else 1)  # paper: ignores the elements
    result = measure(network, pairs, MIN_INTERVALS)
    while not result.within_bound and result.intervals < MAX_INTERVALS:
        result = measure(network, pairs, 2 * result.intervals)
    return result


def checked_pairs(n_elements: int) -> Tensor:
    """All ordered pairs of few elements, else 16 spread over the elements: (n_pairs,) int64."""
    if n_elements**2 <= MAX_PAIRS:
        return torch.arange(n_elements**2)
    center = torch.arange(MAX_PAIRS // 2) * n_elements // (MAX_PAIRS // 2)
    other = (center + n_elements // 2) % n_elements
    return torch.cat([center * n_elements + center, center * n_elements + other]).unique()


def measure(network: DeployedNetwork, pairs: Tensor, intervals: int) -> Tabulation:
    """Compare tables with the network (float64) from the first knot to the cutoff, for all channels.

    In the md setting both include the envelope, which multiplies them wherever they are used. Pairs are compared one
    after the other, so that memory does not grow with their number.
    """
    spacing = network.geometry.cutoff / intervals
    knots = torch.arange(1, intervals + 1, dtype=torch.float64) * spacing
    steps = torch.arange(1, POINTS + 1, dtype=torch.float64) / (POINTS + 1)
    points = (knots[:-1, None] + steps * spacing).flatten()
    errors = []
    for pair in pairs.unsqueeze(1):
        at_knots = network.radial_jets(knots, pair)
        for name, jets in network.radial_jets(points, pair).items():
            errors.append(relative_errors(network, hermite_table(at_knots[name], spacing), points, jets[:2, 0]))
    value, derivative = torch.stack(errors).amax(0).tolist()  # keeps NaN
    return Tabulation(intervals, value, derivative)


def relative_errors(network: DeployedNetwork, table: Tensor, points: Tensor, exact: Tensor) -> Tensor:
    """Largest differences of one table (1, n_knots, 3, C) from values and derivatives ``exact`` (2, n, C): (2,)."""
    slots = torch.zeros_like(points, dtype=torch.int64)
    found = value_and_slope(lambda r: evaluate_table(table, slots, r, network.geometry.cutoff), points)
    if network.smooth:
        envelope = value_and_slope(lambda r: envelope_of(network, r), points).unsqueeze(-1)
        found, exact = (
            torch.stack([u[0] * envelope[0], u[1] * envelope[0] + u[0] * envelope[1]]) for u in (found, exact)
        )
    largest = exact.abs().amax((1, 2)).clamp(min=torch.finfo(torch.float64).tiny)  # a table may be zero
    return (found - exact).abs().amax((1, 2)) / largest


def envelope_of(network: DeployedNetwork, distances: Tensor) -> Tensor:
    """The model's envelope at distances (n,)."""
    return polynomial_envelope(distances, network.geometry.cutoff, network.geometry.power)


def value_and_slope(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """A function of each point and its derivative, stacked, by forward-mode differentiation."""
    return torch.stack(torch.func.jvp(function, (points,), (torch.ones_like(points),)))
