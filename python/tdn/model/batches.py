"""Predictions of many structures, several in one evaluation of the model, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase.stress import full_3x3_to_voigt_6_stress

from tdn.data.arrays import GraphArrays
from tdn.data.build import graph_of_arrays
from tdn.data.graph import Graph, collate, given
from tdn.model.prediction import Prediction
from tdn.model.protocol import Model


def predict_batch(
    model: Model, graphs: list[Graph], stress: Callable[[Graph], bool], forces: str | None = None
) -> tuple[Graph, Prediction]:
    """Join graphs and evaluate them.

    Args:
        model: what ``tdn.load`` returns.
        graphs: one or more, in float64.
        stress: whether the stress of the joined graph is wanted.
        forces: kind of forces; the model's default when None.

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
    """Convert the prediction of a model with ``energy_convention`` ``per_atom`` to energies of whole structures.

    The published model predicts an energy per atom above free atoms. It is multiplied by the number of atoms, and the
    free atoms' energies are added if they are known (they are for models trained here, not for imported ones). Forces
    are not changed.

    Args:
        output: has ``energy`` (n_graphs,) and ``atom_energies`` (n_atoms,), eV.
        graph: the evaluated graph.
        free_energies: eV per element of the model, or empty.
    """
    atoms = graph.sizes[graph.batch] * output.atom_energies
    energy = graph.sizes * output.energy
    if free_energies:
        free = torch.tensor(free_energies, dtype=torch.float64, device=atoms.device)[graph.species]
        atoms = atoms + free
        energy = energy.double().index_add(0, graph.batch, free)
    return replace(output, energy=energy, atom_energies=atoms)


def batch_results(model: Model, graphs: Sequence[GraphArrays], forces: str) -> list[dict[str, Any]]:
    """Results of structures that are evaluated together, under ASE's names; stress if it is defined."""

    def has_stress(graph: Graph) -> bool:
        return forces != "direct" and bool((given(graph.volume) > 0).any())

    graph, output = predict_batch(model, [graph_of_arrays(arrays) for arrays in graphs], has_stress, forces)
    return split_results(graph, output)


def split_results(graph: Graph, output: Prediction) -> list[dict[str, Any]]:
    """Results of each structure of a joined graph, in numpy's float64."""
    assert output.forces is not None
    ends = graph.sizes.cumsum(0)[:-1].tolist()
    forces = np.split(output.forces.double().cpu().numpy(), ends)
    energies = np.split(output.atom_energies.cpu().numpy(), ends)
    results: list[dict[str, Any]] = [
        {"energy": energy, "free_energy": energy, "energies": energies[k], "forces": forces[k]}
        for k, energy in enumerate(output.energy.tolist())
    ]
    if output.stress is not None:
        for result, volume, stress in zip(results, given(graph.volume), output.stress.double().cpu(), strict=True):
            if volume > 0:
                result["stress"] = full_3x3_to_voigt_6_stress(stress.numpy())
    return results
