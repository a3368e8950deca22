"""Predictions of a finished model for labeled structures, and their errors, in one pass and constant memory.

Every error is in thousandths of eV and angstrom. MAE is the mean of absolute errors, RMSE the root of the mean square:

* ``energy``: of the energy per atom, over structures (meV/atom);
* ``energy_total``: of the energy of a whole structure, over structures (meV);
* ``force``: per Cartesian component, over all components of all atoms with a label (meV/angstrom);
* ``stress``: per component, over the nine components of all structures with a label (meV/angstrom^3);
* ``force_structure_rmse``: mean over structures of the square root of the mean over the structure's atoms of |dF|^2,
  with |dF| the length of the vector (meV/angstrom). Tables of the TDN paper (arXiv 2507.01131) call this the force
  RMSE; it is about sqrt(3) above ``force_rmse``.

Held atoms have no labeled force (NaN) and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.evaluation.breakdown import RANGES, GroupedErrors, StructureErrors, force_range, structure_errors
from tdn.evaluation.metrics import ErrorSums, differences
from tdn.evaluation.sample import Sample
from tdn.iteration import in_batches
from tdn.model.batches import predict_batch
from tdn.model.protocol import Model
from tdn.statistics.units import UnitCheck

#: Number of points in a parity plot: structures, and force components.
POINTS = {"energy": 20_000, "force": 60_000}


@dataclass
class Evaluation:
    """Errors, and label/prediction pairs for a parity plot."""

    errors: dict[str, float]  #: ``energy_mae``, ``energy_rmse``, ... as the module describes; unlabeled ones are absent
    #: energy (eV/atom) and force (eV/angstrom) as (labels, predictions), flat, on the CPU; a sample of long streams
    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    by_element: list[dict[str, Any]] = field(default_factory=list)  #: see ``GroupedErrors.rows``
    by_force: list[dict[str, Any]] = field(default_factory=list)  #: the same, by length of the labeled force
    n_structures: int = 0
    n_atoms: int = 0
    notes: list[str] = field(default_factory=list)  #: what the user should know of the labels, in sentences


class ErrorCollector:
    """Compares batches of predictions with their labels; keeps sums and samples only."""

    def __init__(self, elements: tuple[str, ...] = ()) -> None:
        """Args: ``elements`` of the model, for the names of the rows."""
        self.elements = elements
        self.sums = ErrorSums()
        self.samples = {name: Sample(points) for name, points in POINTS.items()}
        self.by_element = GroupedErrors(len(elements))
        self.by_force = GroupedErrors(len(RANGES))
        self.n_structures = self.n_atoms = 0

    def add(self, graph: Graph, output: Any) -> list[StructureErrors]:
        """Count a batch (labels in float64, prediction with total energies); returns the errors of its structures."""
        sizes, energy = graph.sizes, given(graph.energy)
        self.sums.add(differences(output, graph), graph)
        known = energy.isfinite()
        self.sums.add({"energy_total": (output.energy.double() - energy)[known]})
        self.samples["energy"].add(energy / sizes, output.energy / sizes)
        self.samples["force"].add(given(graph.forces), output.forces)
        self.add_forces(graph, output.forces)
        rows = structure_errors(self.n_structures, graph, output)
        self.n_structures += len(rows)
        self.n_atoms += int(sizes.sum())
        return rows

    def add_forces(self, graph: Graph, forces: Tensor) -> None:
        """Count labeled atoms by element and by the length of their labeled force."""
        known = given(graph.forces).isfinite().all(dim=1)
        labels = given(graph.forces)[known]
        errors = forces[known].double() - labels
        self.by_element.add(graph.species[known], errors, labels)
        self.by_force.add(force_range(labels), errors, labels)

    def result(self) -> Evaluation:
        """What was counted so far."""
        return Evaluation(
            self.sums.result(),
            {name: (sample.pairs[0], sample.pairs[1]) for name, sample in self.samples.items()},
            self.by_element.rows(self.elements),
            self.by_force.rows(RANGES),
            self.n_structures,
            self.n_atoms,
        )


def evaluate(
    model: Model,
    graphs: Iterable[Graph],
    batch_size: int = 8,
    on_structure: Callable[[StructureErrors], None] | None = None,
) -> Evaluation:
    """Predict all structures and compare with their labels.

    Args:
        model: what ``tdn.load`` returns; the per-atom energy of an imported model (``energy_convention``
            ``per_atom``) is compared with the label divided by the number of atoms.
        graphs: labeled structures, read once, batch by batch.
        batch_size: structures predicted together.
        on_structure: called with the errors of each structure, in order.
    """
    collector, units = ErrorCollector(model.elements), UnitCheck()

    def wants_stress(graph: Graph) -> bool:
        return bool(given(graph.has_stress).any())

    for batch in in_batches(graphs, batch_size):
        for one in batch:
            units.add_graph(one)
        graph, output = predict_batch(model, batch, wants_stress)
        for row in collector.add(graph, output):
            if on_structure is not None:
                on_structure(row)
    return replace(collector.result(), notes=units.warnings())
