"""Checks of a deployed archive against its model, and of its physics, before anyone relies on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from tdn.data.graph import Graph
from tdn.deployment.deployed import DeployedModel
from tdn.model import TDN
from tdn.model.prediction import Prediction

#: Largest accepted differences by dtype, relative to the largest value of the compared kind; with radial tables their
#: bound replaces that of float64.
AGREEMENT = {torch.float64: 1e-9, torch.float32: 2e-4}
TABULATED_AGREEMENT = {torch.float64: 1e-6, torch.float32: 2e-4}
#: Relative change by rounding to float32 up to which a structure counts as well-conditioned (real ones: 1e-6 to 5e-6),
#: and the largest growth beyond it that excuses deviations.
WELL_CONDITIONED, LARGEST_GROWTH = 1e-5, 1e3
#: Largest accepted change of the energy per atom under rotation and inversion, relative to its spread.
EQUIVARIANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
#: Largest accepted energy step at the cutoff, relative to the model's energy scale.
CONTINUITY = {torch.float64: 1e-8, torch.float32: 1e-5}

#: Number of elements in a random cluster.
CLUSTER_ELEMENTS = 3


@dataclass(frozen=True)
class Verdict:
    """One line of the table."""

    name: str
    value: float
    limit: float  #: infinite for a value that is only reported

    @property
    def passed(self) -> bool:
        """False also when the value is not a number."""
        return self.value <= self.limit or (math.isinf(self.limit) and math.isfinite(self.value))


def random_graph(model: TDN | DeployedModel, n_atoms: int, seed: int) -> Graph:
    """A random cluster with about 0.05 atoms per cubic angstrom, no pair closer than 0.9 angstrom; float64.

    At most :data:`CLUSTER_ELEMENTS` of the model's elements, others for each seed: every pair needs radial tables.
    """
    generator = torch.Generator().manual_seed(seed)
    side = (n_atoms / 0.05) ** (1 / 3)
    positions: list[Tensor] = []
    while len(positions) < n_atoms:
        trial = side * torch.rand(3, generator=generator, dtype=torch.float64)
        if all((trial - other).norm() > 0.9 for other in positions):
            positions.append(trial)
    known = torch.randperm(len(model.elements), generator=generator)[:CLUSTER_ELEMENTS]
    species = known[torch.randint(len(known), (n_atoms,), generator=generator)]
    return cluster_graph(torch.stack(positions), species, model.cutoff)


def cluster_graph(positions: Tensor, species: Tensor, cutoff: float) -> Graph:
    """All pairs of a non-periodic cluster within the cutoff; positions (n, 3) angstrom."""
    vectors = positions.unsqueeze(0) - positions.unsqueeze(1)
    center, neighbor = torch.nonzero((vectors.norm(dim=-1) < cutoff).fill_diagonal_(False), as_tuple=True)
    batch = torch.zeros_like(species)
    return Graph(species, center, neighbor, vectors[center, neighbor], batch, volume=torch.zeros(1).to(positions))


def verify(model: TDN, archive: DeployedModel, structures: Sequence[Graph] = ()) -> list[Verdict]:
    """Run all checks.

    Args:
        model: the trained model, any dtype.
        archive: its archive.
        structures: real structures (float64 vectors) to compare on, besides random clusters.
    """
    reference = model.in_dtype(torch.float64)
    graphs = [random_graph(archive, 24, seed) for seed in range(3)] + list(structures)
    eager = eager_predictions(reference, graphs)
    segments = []  # the segments, which GPUs run, if LAMMPS on a CPU does not
    if archive.fused:
        segments = agreement(reference, DeployedModel(archive.path, engine="script"), eager)
    return [
        *agreement(reference, archive, eager),
        *segments,
        *invariance(reference, archive, graphs[0]),
        cutoff_continuity(reference, archive),
    ]


def largest(values: Iterable[float]) -> float:
    """Maximum that keeps NaN."""
    result = 0.0
    for value in values:
        result = value if math.isnan(value) or value > result else result
    return result


class Eager(NamedTuple):
    """A structure, and the trained model's prediction in float64 and rounded to float32."""

    graph: Graph
    expected: Prediction
    rounded: Prediction


def eager_predictions(reference: TDN, graphs: Sequence[Graph]) -> list[Eager]:
    """Reference predictions for the engines of an archive."""
    rounding = reference.in_dtype(torch.float32)
    request = requested_forces(reference)
    return [
        Eager(
            graph,
            reference(graph.to(dtype=torch.float64), forces=request),
            rounding(graph.to(dtype=torch.float32), forces=request),
        )
        for graph in graphs
    ]


def requested_forces(reference: TDN) -> str:
    """All forces that a model has."""
    return "both" if reference.config.direct_forces else "gradient"


def agreement(reference: TDN, archive: DeployedModel, eager: Sequence[Eager]) -> list[Verdict]:
    """Largest deviation of deployed from eager energies, forces and virials, relative to the largest value.

    Random clusters are far from any training data, and a model may give thousands of eV for one: small differences
    grow there, whatever their origin. The growth is measured by rounding the eager model's input to float32; beyond
    :data:`WELL_CONDITIONED`, deviations are divided by that growth.
    """
    # in a perfect crystal every force vanishes, so differences are then compared with the model's own unit
    least = 0.1 * float(reference.network.references.scale)
    errors: dict[str, list[float]] = {}
    for graph, expected, rounded in eager:
        found = archive(graph.to(dtype=archive.dtype), forces=requested_forces(reference))
        bound = expected.atom_energies - reference.network.references.energies[graph.species]
        for name, kind, sizes in (
            ("energy", "atom_energies", bound),
            ("forces", "gradient_forces", expected.gradient_forces),
            ("direct forces", "direct_forces", expected.direct_forces),
            ("virial", "virial", expected.virial),
        ):
            if sizes is None or getattr(found, kind) is None:
                continue
            size = max(float(sizes.abs().max()), least)
            error, by_rounding = (
                float((getattr(expected, kind) - getattr(other, kind)).abs().max()) / size for other in (found, rounded)
            )
            errors.setdefault(name, []).append(error / min(max(1.0, by_rounding / WELL_CONDITIONED), LARGEST_GROWTH))
    limit = (TABULATED_AGREEMENT if archive.fused else AGREEMENT)[archive.dtype]
    engine = "fused" if archive.fused else "script"
    return [
        Verdict(f"{name}: deployed ({engine}) - eager float64, relative", largest(v), limit)
        for name, v in errors.items()
    ]


def invariance(reference: TDN, archive: DeployedModel, graph: Graph) -> list[Verdict]:
    """Change of the atom energies under rotations and inversion; only reported for models that cannot be invariant."""
    expected = archive(graph.to(dtype=archive.dtype)).atom_energies
    spread = max(float((expected - reference.network.references.energies[graph.species]).abs().max()), 1e-12)
    exact = reference.config.cp_rank is None
    checks = {
        "rotation": ([random_rotation(seed) for seed in range(4)], exact),
        "inversion": ([-torch.eye(3)], exact and reference.config.paths == "o3"),
    }
    result = []
    for name, (maps, required) in checks.items():
        errors = []
        for matrix in maps:
            moved = replace(graph, vectors=graph.vectors @ matrix.to(graph.vectors).t())
            energies = archive(moved.to(dtype=archive.dtype)).atom_energies
            errors.append(float((energies - expected).abs().max()) / spread)
        limit = EQUIVARIANCE[archive.dtype] if required else math.inf
        result.append(Verdict(f"energy under {name}, relative", largest(errors), limit))
    return result


def random_rotation(seed: int) -> Tensor:
    """Rotation matrix (3, 3) float64 from a random quaternion."""
    generator = torch.Generator().manual_seed(seed)
    w, x, y, z = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)


def cutoff_continuity(reference: TDN, archive: DeployedModel) -> Verdict:
    """Largest energy step when an atom crosses the cutoff of one of two bonded atoms by 1e-10 angstrom.

    All ordered pairs of the first elements; in units of the model's energy scale, from the archive itself.
    """
    steps = []
    for center, neighbor in product(range(min(len(archive.elements), 4)), repeat=2):
        energies = [crossing_energy(archive, center, neighbor, offset) for offset in (-1e-10, 1e-10)]
        steps.append(abs(energies[1] - energies[0]) / float(reference.network.references.scale))
    limit = CONTINUITY[archive.dtype] if reference.config.smooth else math.inf
    return Verdict("energy step when a pair crosses the cutoff, relative", largest(steps), limit)


def crossing_energy(archive: DeployedModel, center: int, neighbor: int, offset: float) -> float:
    """Energy (eV) of two bonded atoms and a third at distance cutoff + ``offset`` from the first, near the second."""
    positions = torch.zeros(3, 3, dtype=torch.float64)
    positions[1, 0], positions[1, 1], positions[2, 1] = 1.1, 0.4, archive.cutoff + offset
    species = torch.tensor([center, center, neighbor])
    graph = cluster_graph(positions, species, archive.cutoff)
    return archive(graph.to(dtype=archive.dtype), forces="gradient").energy.item()


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdict table as text."""
    width = max(len(v.name) for v in verdicts)
    rows = [f"{'check':<{width}}  {'value':>9}  {'limit':>9}  verdict"]
    for v in verdicts:
        limit = "-" if math.isinf(v.limit) else f"{v.limit:.1e}"
        word = "FAILED" if not v.passed else "reported" if math.isinf(v.limit) else "passed"
        rows.append(f"{v.name:<{width}}  {v.value:>9.1e}  {limit:>9}  {word}")
    return "\n".join(rows)
