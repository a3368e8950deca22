"""Predictions of many structures, several in one evaluation of the model, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import torch

from tdn.data.graph import Graph, collate
from tdn.errors import TDNError

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive items in lists of ``size``, the last one maybe shorter."""
    if size < 1:
        raise TDNError(f"the batch size is {size}; give a positive number")
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def predict_batch(
    model: Callable, graphs: list[Graph], dtype: torch.dtype, device: str, stress: Callable[[Graph], bool], **how: Any
) -> tuple[Graph, Any]:
    """Join graphs and evaluate them.

    Args:
        model: what ``tdn.load`` returns.
        graphs: one or more, in float64, on the CPU.
        dtype: the model's.
        device: where the model is.
        stress: whether the stress of the joined graph is wanted.
        **how: passed to the model, such as ``forces``.

    Returns:
        The joined graph, float64, on the device, and the prediction with total energies (see ``with_total_energy``).
    """
    joined = collate(graphs).to(device)
    output = model(joined.to(dtype=dtype), stress=stress(joined), **how)
    return joined, with_total_energy(output, joined, getattr(model, "energy_convention", "extensive"))


def with_total_energy(output: Any, graph: Graph, convention: str) -> Any:
    """The prediction with energies (n_graphs,) and (n_atoms,) of whole structures.

    An imported model of the published code (``energy_convention`` ``per_atom``) answers with an energy per atom; it is
    multiplied by the number of atoms. Forces stay as the model gives them.
    """
    if convention != "per_atom":
        return output
    sizes = graph.sizes
    return replace(output, energy=sizes * output.energy, atom_energies=sizes[graph.batch] * output.atom_energies)
