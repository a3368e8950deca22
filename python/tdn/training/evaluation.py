"""Predictions of a finished model for labeled structures, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tdn.data.graph import Graph, collate, given
from tdn.training.metrics import UNITS, ErrorSums, differences


@dataclass
class Evaluation:
    """Errors, and label/prediction pairs for a parity plot."""

    errors: dict[str, float]  #: see ``ErrorSums.result``
    #: energy (eV/atom) and force (eV/angstrom) as (labels, predictions), flat, on the CPU
    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


def evaluate(
    model: Callable, graphs: Sequence[Graph], dtype: torch.dtype, device: str = "cpu", batch_size: int = 8
) -> Evaluation:
    """Predict all structures and compare with their labels.

    Args:
        model: what ``tdn.load`` returns; the per-atom energy of an imported model (``energy_convention``
            ``per_atom``) is compared with the label divided by the number of atoms.
        graphs: labeled structures.
        dtype: the model's.
        device: where the model is.
        batch_size: structures predicted together.
    """
    sums = ErrorSums()
    per_atom = getattr(model, "energy_convention", "extensive") == "per_atom"
    pairs: dict[str, list[Tensor]] = {"energy": [], "force": []}
    for first in range(0, len(graphs), batch_size):
        labels = collate(graphs[first : first + batch_size]).to(device)
        output = model(labels.to(dtype=dtype), stress=bool(given(labels.has_stress).any()))
        sizes = torch.bincount(labels.batch, minlength=labels.n_graphs)
        if per_atom:
            output = replace(output, energy=sizes * output.energy)
        sums.add(differences(output, labels))
        pairs["energy"].append(pair(given(labels.energy) / sizes, output.energy / sizes))
        pairs["force"].append(pair(given(labels.forces), output.forces))
    joined = {name: torch.cat(parts, dim=1) for name, parts in pairs.items()}
    return Evaluation(sums.result(), {name: (both[0], both[1]) for name, both in joined.items()})


def pair(label: Tensor, predicted: Tensor) -> Tensor:
    """Labels that exist and their predictions, shape (2, n), float64 on the CPU."""
    both = torch.stack([label.flatten().double(), predicted.detach().flatten().double()]).cpu()
    return both[:, torch.isfinite(both[0])]


def error_table(errors: dict[str, float]) -> str:
    """Errors as a table for people."""
    lines = [f"{'property':<10}{'MAE':>12}{'RMSE':>12}  unit"]
    for name, unit in UNITS.items():
        if f"{name}_mae" in errors:
            lines.append(f"{name:<10}{errors[f'{name}_mae']:>12.3f}{errors[f'{name}_rmse']:>12.3f}  {unit}")
    return "\n".join(lines)
