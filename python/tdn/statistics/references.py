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
    rows = [torch.bincount(graph.species, minlength=n_elements) for graph in graphs]
    return torch.stack(rows).double() if rows else torch.zeros(0, n_elements, dtype=torch.float64)


def isolated_energies(isolated: Sequence[Graph]) -> dict[int, float]:
    """Energy (eV) of each species that occurs as an isolated atom with an energy."""
    energies = [(int(graph.species[0]), float(given(graph.energy))) for graph in isolated]
    return {species: energy for species, energy in energies if math.isfinite(energy)}


def choose_references(
    requested: str | dict, counts: Tensor, energies: Tensor, isolated: Sequence[Graph], elements: Sequence[str]
) -> tuple[list[float], str]:
    """Reference energy of each element, to which the model adds its prediction, and the origin of these energies.

    Args:
        requested: energies by element (eV), ``least_squares``, or ``auto``: energies of isolated atoms if the data
            have one for each element, else a least-squares fit.
        counts: composition of the structures, (n, n_elements) float64.
        energies: total energies (n,), eV, NaN if missing.
        isolated: single atoms without neighbors.
        elements: chemical symbols.

    Returns:
        Energies in eV in the order of ``elements``, and ``"configuration"``, ``"isolated atoms"`` or
        ``"least squares"``.
    """
    if isinstance(requested, dict):
        return given_references(requested, elements), "configuration"
    known = isolated_energies(isolated)
    if requested == "auto" and len(known) == len(elements):
        return [known[species] for species in range(len(elements))], "isolated atoms"
    return least_squares_references(counts, energies), "least squares"


def least_squares_references(counts: Tensor, energies: Tensor, least_variation: float = 1e-10) -> list[float]:
    """Minimum-norm least squares of total energies (n,) eV against compositions (n, n_elements), float64.

    In data of a single composition (water) the fit determines only a sum; the solution of minimum norm is taken. The
    same holds for combinations of elements whose fractions vary less than ``least_variation``, relative to the one that
    varies most.
    """
    labeled = torch.isfinite(energies)
    if not labeled.any():
        return [0.0] * counts.size(1)
    counts, energies = counts[labeled], energies[labeled]
    sizes = counts.sum(1, keepdim=True)
    # rows are divided by the number of atoms: the error per atom is what the loss sees
    return (torch.linalg.pinv(counts / sizes, rtol=least_variation) @ (energies / sizes[:, 0])).tolist()


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
        raise TDNError(f"data.references holds {wrong}, which is not an energy; give a number in eV for each element")
    return [float(chosen[element]) for element in elements]


def energy_scale(
    mean_square_force: float | None, counts: Tensor, energies: Tensor, references: Sequence[float]
) -> float:
    """Root mean square of the force components (eV/angstrom), the unit in which the model works.

    Without forces (None): standard deviation of the energy per atom above the references (eV); 1 when that is zero.
    """
    if mean_square_force is not None:
        scale = math.sqrt(mean_square_force)
    else:
        above = (energies - counts @ torch.tensor(references, dtype=torch.float64)) / counts.sum(1)
        above = above[torch.isfinite(above)]
        scale = float(above.std(correction=0)) if len(above) else 0.0
    return scale if scale > 1e-8 else 1.0
