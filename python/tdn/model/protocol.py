"""The protocol of a finished model, from a checkpoint or from an archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch

from tdn.data.graph import Graph
from tdn.model.prediction import Prediction

if TYPE_CHECKING:
    from tdn.data.arrays import GraphArrays

Self = TypeVar("Self", bound="Model")


@runtime_checkable
class Model(Protocol):
    """Graph in, energies, forces and stress out; ``tdn.load`` returns such models."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; the position is the species index."""

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of edge vectors and forces."""

    @property
    def precision(self) -> str:
        """``dtype`` by its name, ``float32`` or ``float64``, which an archive knows without torch."""

    @property
    def device(self) -> torch.device:
        """Device on which graphs must be."""

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""

    @property
    def energy_convention(self) -> str:
        """``extensive`` or ``per_atom`` (energy of a structure divided by its atoms, above free atoms)."""

    @property
    def free_energies(self) -> tuple[float, ...]:
        """Reference energies (eV) of a model with an energy per atom; empty if there are none."""

    def to(self: Self, device: torch.device | str, /) -> Self:
        """Move to a device; returns itself."""

    def eval(self: Self) -> Self:
        """Switch dropout off; returns itself."""

    def in_dtype(self: Self, dtype: torch.dtype | str) -> Self:
        """The model in another precision, a torch dtype or its name.

        Raises:
            TDNError: the model has only one precision.
        """

    def __call__(self, graph: Graph, *, stress: bool = False, forces: str | None = None) -> Prediction:
        """Evaluate a graph.

        Args:
            graph: one or several structures; vectors in the model's dtype.
            stress: also return the stress of three-dimensionally periodic structures.
            forces: ``gradient``, ``direct``, ``both`` or None for the model's default.
        """

    def results(self, graphs: Sequence[GraphArrays], forces: str | None = None) -> list[dict[str, Any]]:
        """Results of each structure in numpy's float64, which an archive computes without torch.

        Args:
            graphs: one or several structures, evaluated together.
            forces: ``gradient``, ``direct`` or None for the model's default.

        Returns:
            Under ASE's names ``energy`` and ``free_energy`` (eV), ``energies`` (n_atoms,) eV, ``forces`` (n_atoms, 3)
            eV/angstrom and, in structures with three periods, ``stress`` (6,) eV/angstrom^3.

        Raises:
            TDNError: the model has no forces of this kind.
        """
