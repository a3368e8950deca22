"""Reference energy of each element and the energy scale, from the training data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tdn.data.graph import Graph, given
from tdn.errors import TDNError


def composition(graphs: Sequence[Graph], n_elements: int) -> Tensor:
    """Number of atoms of each element, shape ``(len(graphs), n_elements)`` float64."""
    return torch.stack([torch.bincount(graph.species, minlength=n_elements) for graph in graphs]).double()


def reference_energies(graphs: Sequence[Graph], isolated: Sequence[Graph], elements: Sequence[str]) -> tuple[list, str]:
    """Energy per element that the model's own part is added to, and where it comes from.

    Energies of isolated atoms when the files hold one for each element, else a least-squares fit of the total
    energies. In data of a single composition (water) the fit fixes only a sum; the smallest solution is taken.

    Returns:
        Energies in eV in the order of ``elements``, and ``"isolated atoms"`` or ``"least squares"``.
    """
    known = isolated_energies(isolated)
    if len(known) == len(elements):
        return [known[species] for species in range(len(elements))], "isolated atoms"
    return least_squares_references(graphs, elements), "least squares"


def isolated_energies(isolated: Sequence[Graph]) -> dict[int, float]:
    """Energy of each species (eV) that is there as an isolated atom with an energy."""
    energies = [(int(graph.species[0]), float(given(graph.energy))) for graph in isolated]
    return {species: energy for species, energy in energies if math.isfinite(energy)}


def least_squares_references(graphs: Sequence[Graph], elements: Sequence[str]) -> list[float]:
    """Minimum-norm least squares of the total energies against the composition, eV, float64."""
    labeled = [graph for graph in graphs if torch.isfinite(given(graph.energy)[0])]
    if not labeled:
        return [0.0] * len(elements)
    energies = torch.cat([given(graph.energy) for graph in labeled])
    counts = composition(labeled, len(elements))
    sizes = counts.sum(1, keepdim=True)
    # rows are divided by the number of atoms: the error per atom is what the loss sees
    return (torch.linalg.pinv(counts / sizes, rtol=1e-10) @ (energies / sizes[:, 0])).tolist()


def given_references(chosen: dict[str, float], elements: Sequence[str]) -> list[float]:
    """Reference energies written by the user, eV, in the order of ``elements``."""
    missing = [element for element in elements if element not in chosen]
    if missing:
        raise TDNError(
            f"data.references has no energy for {' '.join(missing)}; give one in eV for each of {' '.join(elements)}"
        )
    extra = [str(element) for element in chosen if element not in elements]
    if extra:
        raise TDNError(
            f"data.references names {' '.join(extra)}, which the model, with {' '.join(elements)}, does not know; "
            "remove the entry"
        )
    wrong = {e: v for e, v in chosen.items() if not isinstance(v, (int, float)) or not math.isfinite(v)}
    if wrong:
        raise TDNError(f"data.references holds {wrong}, which is no energy; give a number in eV for each element")
    return [float(chosen[element]) for element in elements]


def energy_scale(graphs: Sequence[Graph], references: Sequence[float]) -> float:
    """Root mean square of the force components (eV/angstrom), the unit in which the model works.

    Without forces: standard deviation of the energy per atom above the references (eV); 1 when that is zero.
    """
    forces = torch.cat([given(graph.forces).flatten() for graph in graphs])
    forces = forces[torch.isfinite(forces)]
    if len(forces):
        scale = float(forces.square().mean().sqrt())
    else:
        counts = composition(graphs, len(references))
        energies = torch.cat([given(graph.energy) for graph in graphs]) - counts @ torch.tensor(references).double()
        scale = float((energies / counts.sum(1)).std(correction=0))
    return scale if scale > 1e-8 else 1.0
