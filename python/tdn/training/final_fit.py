"""The final linear fit of a finished model, by least squares on training structures.

A step of training moves the energies of all atoms together, and the forces hardly change. So the constant error that
remains in the energies is an accident of the last steps (benchmarks/accuracy). How it is removed depends on the
reference energies:

* Those of isolated atoms, or given ones, stay, because an atom without neighbors must have its energy. The energy
  scale, a common factor of all energies above the references and of their forces, changes a little (1e-5 in a good
  model).
* Fitted ones have no such meaning: each is shifted by a constant, and forces do not change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdn.checkpoints import KEY, pack, read_checkpoint
from tdn.config.training import TrainingConfig
from tdn.data.graph import Graph, given
from tdn.data.graphs import spread
from tdn.data.progress import tracked
from tdn.files import write_atomically
from tdn.iteration import in_batches
from tdn.model.batches import predict_batch
from tdn.model.potential import Potential
from tdn.statistics.references import composition, least_squares_references
from tdn.training.prepare import TrainingData
from tdn.training.schedule import stage_at, stage_weights

logger = logging.getLogger(__name__)

#: Number of training structures in the fit: their mean is known to a twentieth of the spread.
MAX_STRUCTURES = 512
#: As in ``least_squares_references``: the data hardly determine the energy error of combinations that vary less.
LEAST_VARIATION = 0.1


def reference_shift(model: Potential, graphs: Iterable[Graph], batch_size: int) -> list[float]:
    """Constant for each element that, added to its atoms, minimizes the mean square error of the energy per atom.

    Args:
        model: has extensive energies, on the CPU.
        graphs: labeled structures, float64; those without an energy do not count.
        batch_size: structures predicted together.

    Returns:
        eV, in the order of the model's elements; the solution of minimum norm if compositions leave a choice.
    """
    counts, errors = [], []
    for batch in in_batches(graphs, batch_size):
        graph, output = predict_batch(model, batch, lambda _: False)
        counts.append(composition(batch, len(model.elements)))
        errors.append(given(graph.energy) - output.energy.detach().double())
    return least_squares_references(torch.cat(counts), torch.cat(errors), LEAST_VARIATION)


def scale_factor(
    model: Potential, graphs: Iterable[Graph], batch_size: int, energy_weight: float, force_weight: float
) -> float:
    """Factor of the network's energies and forces, without references and pair term, that minimizes the loss (``mse``).

    Args:
        model: has extensive energies, on the CPU.
        graphs: labeled structures, float64.
        batch_size: structures predicted together.
        energy_weight: weight of the mean of (error per atom)^2, eV^-2.
        force_weight: weight of the mean squared error of force components, (eV/angstrom)^-2.
    """
    energies, forces = Line(), Line()
    with_forces = model.force_kinds[0] == "gradient"  # a direct head has its own scale
    for batch in in_batches(graphs, batch_size):
        graph, output = predict_batch(model, batch, lambda _: False)
        free = composition(batch, len(model.elements)) @ model.references.energies
        pairs = model.pair_part(graph)
        if pairs is not None:
            free = free + pairs.energy
        bound = output.energy.detach().double() - free
        energies.add(bound / graph.sizes, (given(graph.energy) - free) / graph.sizes)
        if with_forces:
            assert output.forces is not None
            predicted, label = output.forces.detach().double(), given(graph.forces)
            if pairs is not None:
                assert pairs.forces is not None
                predicted, label = predicted - pairs.forces, label - pairs.forces
            forces.add(predicted, label)
    numerator = energy_weight * energies.mean(energies.product) + force_weight * forces.mean(forces.product)
    denominator = energy_weight * energies.mean(energies.square) + force_weight * forces.mean(forces.square)
    return numerator / denominator if denominator > 0 else 1.0


class Line:
    """Sums for the slope of a line through zero, labels over predictions; missing labels do not count."""

    def __init__(self) -> None:
        self.product = self.square = 0.0
        self.n = 0

    def add(self, predicted: Tensor, label: Tensor) -> None:
        """Count values of equal shape; a missing label is NaN."""
        known = label.isfinite()
        self.product += float((predicted * label)[known].sum())
        self.square += float(predicted[known].square().sum())
        self.n += int(known.sum())

    def mean(self, total: float) -> float:
        """A sum divided by the number of labels."""
        return total / max(self.n, 1)


def final_fit(model: Potential, data: TrainingData, options: TrainingConfig) -> None:
    """Fit a model in place, starting from the references and the scale of the data, so that it may be repeated."""
    statistics, size = data.statistics, options.batch_size
    references, scale = list(statistics.references), statistics.scale
    model.set_references(references, scale)
    indices = spread(len(data.train), MAX_STRUCTURES)
    chosen = (data.train[index] for index in tracked(indices, len(indices), "final fit"))
    if statistics.references_from == "least squares":
        shift = reference_shift(model, chosen, size)
        references = [old + new for old, new in zip(references, shift, strict=True)]
        moved = ", ".join(f"{e} {1e3 * value:+.3f}" for e, value in zip(model.elements, shift, strict=True))
        logger.info(f"final fit to energies of training structures: reference energies moved by (meV) {moved}")
    else:
        last = stage_weights(stage_at(1.0, options), options)
        scale *= scale_factor(model, chosen, size, last["energy"], last["force"])
        logger.info(f"final fit to training structures: energy scale changed by {scale / statistics.scale - 1.0:+.1e}")
    model.set_references(references, scale)


def store_fit(path: Path, model: Potential, summary: dict[str, Any], errors: dict[str, float]) -> None:
    """Replace the model of a checkpoint by a fitted one, with its errors on the validation structures."""
    summary["references"] = dict(zip(model.elements, model.references.energies.tolist(), strict=True))
    summary["energy_scale"] = float(model.references.scale)
    stored = summary["errors"]["valid"]
    stored.update({name: errors[name] for name in stored if name in errors})
    content = {**read_checkpoint(path), KEY: pack(model, summary)}
    write_atomically(lambda part: torch.save(content, part), path)
