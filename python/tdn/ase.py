"""TDN models in ASE: ``atoms.calc = TDNCalculator("water.tdn.pt")``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from tdn.data import graph_from_atoms
from tdn.deploy.deployed import DeployedModel
from tdn.errors import TDNError
from tdn.loading import load
from tdn.model import TDN


class TDNCalculator(Calculator):
    """Energy (eV), per-atom energies, forces (eV/angstrom) and stress (eV/angstrom^3) of a TDN model.

    Args:
        model: checkpoint, archive, or a model that is loaded already.
        device: torch device; the model is moved there.
        dtype: ``float32``, ``float64`` or a torch dtype; the model's own when None. Archives have one precision.
        forces: ``gradient`` or ``direct``; the model's default when None.

    For an imported model of the published code (energy convention ``per_atom``) the potential energy is the number of
    atoms times the model's per-atom energy, while gradient forces are minus the gradient of the model's raw output,
    as the published code defines them: they are not the gradient of that potential energy, and the stress belongs to
    them. Direct forces have no stress.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]  # ASE's base class does not call it a ClassVar
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        model: str | Path | TDN | DeployedModel,
        device: str = "cpu",
        dtype: str | torch.dtype | None = None,
        forces: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        loaded = load(model) if isinstance(model, str | Path) else model
        self.model = in_precision(loaded, dtype).to(device)
        self.device = device
        self.forces = forces or self.model.force_kinds[0]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate; called by ASE when a property is asked for and the structure has changed."""
        super().calculate(atoms, properties, system_changes)
        structure = self.atoms  # a copy that ASE keeps
        assert structure is not None
        stress = bool(structure.pbc.all()) and self.forces != "direct"
        if "stress" in (properties or ()) and not stress:
            raise TDNError(
                f"there is no stress for pbc {structure.pbc.tolist()} and {self.forces} forces; "
                "use a structure periodic in three directions and forces='gradient'"
            )
        graph = graph_from_atoms(structure, self.model.elements, self.model.cutoff)
        result = self.model(graph.to(self.device, self.model.dtype), stress=stress, forces=self.forces)
        assert result.forces is not None
        factor = len(structure) if self.model.energy_convention == "per_atom" else 1
        energy = factor * result.energy.item()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": factor * result.atom_energies.cpu().numpy(),
            "forces": result.forces.double().cpu().numpy(),
        }
        if result.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(result.stress[0].double().cpu().numpy())


def in_precision(model: TDN | DeployedModel, dtype: str | torch.dtype | None) -> TDN | DeployedModel:
    """The model in the asked precision; an archive's is fixed when it is deployed."""
    if dtype is None:
        return model
    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if wanted not in (torch.float32, torch.float64):
        raise TDNError(f"dtype is {dtype!r}; use 'float32' or 'float64'")
    if wanted == model.dtype:
        return model
    if isinstance(model, DeployedModel):
        raise TDNError(f"this archive is {model.dtype} and {wanted} was asked for; deploy it in that precision")
    return model.in_dtype(wanted)
