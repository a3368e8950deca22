"""The base class of models of all architectures, with the interface of trainer, evaluation and calculator."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from tdn.config.settings import Settings
from tdn.conventions import precision
from tdn.data.graph import Graph
from tdn.errors import TDNError
from tdn.model.prediction import Prediction, predict

if TYPE_CHECKING:
    from tdn.data.arrays import GraphArrays
    from tdn.model.network import References

Self = TypeVar("Self", bound="Potential")


class Potential(nn.Module):
    """Graph in, energies, forces and virial out; ``network`` holds all weights and the ``references``."""

    config: Settings
    network: nn.Module
    #: reference energies (eV per element) of a model with an energy per atom; empty if there are none
    free_energies: tuple[float, ...] = ()

    @abstractmethod
    def _run(self, graph: Graph, vectors: Tensor, with_direct: bool) -> tuple[Tensor, Tensor | None]:
        """Graph and edge vectors (n_edges, 3) -> atom energies (n_atoms,) eV float64, direct forces (n_atoms, 3)."""

    def in_dtype(self: Self, dtype: torch.dtype | str) -> Self:
        """Copy in ``dtype``: weights are cast, constants are exact in it."""
        return copy.deepcopy(self).to(getattr(torch, precision(dtype))).eval()

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; the position is the species index."""
        return self.config.elements

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return self.config.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.network.parameters()).dtype

    @property
    def precision(self) -> str:
        """The same by its name."""
        return precision(self.dtype)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        return self.config.force_kinds

    @property
    def energy_convention(self) -> str:
        """``extensive`` or ``per_atom``."""
        return self.config.energy_convention

    @property
    def references(self) -> References:
        """Reference energies and energy scale."""
        return cast("References", self.network.references)

    def set_references(self, energies: Sequence[float], scale: float) -> None:
        """Set the reference energy of every element (eV, in the order of ``elements``) and the energy scale (eV)."""
        if len(energies) != self.config.n_elements:
            raise TDNError(
                f"{len(energies)} reference energies for {self.config.n_elements} elements; give one for each"
            )
        self.references.energies.copy_(torch.tensor(energies, dtype=torch.float64))
        self.references.scale.fill_(scale)

    def pair_part(self, graph: Graph) -> Prediction | None:
        """The pair term's part of the prediction, which the energy scale does not multiply; None without one."""
        return None

    def forward(
        self, graph: Graph, stress: bool = False, training: bool = False, forces: str | None = None
    ) -> Prediction:
        """Evaluate a graph.

        Args:
            graph: one or several structures; vectors in the model's dtype.
            stress: also return the stress of three-dimensionally periodic structures.
            training: keep the graph of the forces so that a loss on them can be differentiated.
            forces: ``gradient``, ``direct``, ``both`` or None for the model's default.
        """
        return predict(self._run, graph, self.force_kinds, self.dtype, stress, training, forces)

    def results(self, graphs: Sequence[GraphArrays], forces: str | None = None) -> list[dict[str, Any]]:
        """Results under ASE's names of structures that are evaluated together; see ``tdn.model.protocol.Model``."""
        from tdn.model.batches import batch_results  # with ASE, which few of a model's uses need

        return batch_results(self, graphs, forces or self.force_kinds[0])


def with_isolated(species: Tensor, n_elements: int) -> Tensor:
    """Species (n,), followed by one atom of each element without edges, which gets its value without neighbors."""
    return torch.cat([species, torch.arange(n_elements, device=species.device)])
