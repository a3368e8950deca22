"""Predictions of many structures, several in one evaluation of the model, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import torch

from tdn.data.graph import Graph, collate
from tdn.errors import TDNError
from tdn.model.prediction import Prediction
from tdn.model.protocol import Model

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive items in lists of ``size``, the last one maybe shorter."""
    if size < 1:
        raise TDNError(f"the batch size is {size}; give a positive number")
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def predict_batch(
    model: Model, graphs: list[Graph], stress: Callable[[Graph], bool], forces: str | None = None
) -> tuple[Graph, Prediction]:
    """Join graphs and evaluate them.

    Args:
        model: what ``tdn.load`` returns.
        graphs: one or more, in float64.
        stress: whether the stress of the joined graph is wanted.
        forces: which kind; the model's default when None.

    Returns:
        The joined graph, float64, on the model's device, and the prediction with total energies (see
        ``with_total_energy``).
    """
    joined = collate(graphs).to(model.device)
    output = model(joined.to(dtype=model.dtype), stress=stress(joined), forces=forces)
    if model.energy_convention == "per_atom":
        output = with_total_energy(output, joined, model.free_energies)
    return joined, output


def with_total_energy(output: Prediction, graph: Graph, free_energies: Sequence[float]) -> Prediction:
    """The prediction of a model with ``energy_convention`` ``per_atom``, with energies of whole structures.

    The published model answers with an energy per atom above free atoms. Here it is multiplied by the number of atoms,
    and the free atoms' energies are added where they are known (models trained here; imported ones do not tell them).
    Forces stay as the model gives them.

    Args:
        output: has ``energy`` (n_graphs,) and ``atom_energies`` (n_atoms,), eV.
        graph: what was evaluated.
        free_energies: eV per element of the model, or empty.
    """
    atoms = graph.sizes[graph.batch] * output.atom_energies
    energy = graph.sizes * output.energy
    if free_energies:
        free = torch.tensor(free_energies, dtype=torch.float64, device=atoms.device)[graph.species]
        atoms = atoms + free
        energy = energy.double().index_add(0, graph.batch, free)
    return replace(output, energy=energy, atom_energies=atoms)
