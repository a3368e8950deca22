"""TDN models in ASE: ``atoms.calc = TDNCalculator("water.tdn.pt")``, and ``predict`` for many structures at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.singlepoint import SinglePointCalculator

from tdn.conventions import check_kind, precision
from tdn.data.arrays import GraphArrays, graph_arrays
from tdn.errors import TDNError
from tdn.forks import compute_serially_after_fork
from tdn.iteration import in_batches
from tdn.loading import check_device, load

if TYPE_CHECKING:
    import torch

    from tdn.model.protocol import Model


class NoStressError(TDNError, PropertyNotImplementedError):
    """The structure or the model has no stress; ASE's own code catches the second base class."""


class TDNCalculator(Calculator):
    """Energy (eV), per-atom energies, forces (eV/angstrom) and stress (eV/angstrom^3) of a TDN model.

    One evaluation gives all properties; they are kept until positions, cell, elements or periodicity change.
    ``free_energy`` equals the energy: there is no electronic temperature. Per-atom stresses are not available: the
    energy of a message-passing model does not determine to which atom a part of the stress belongs.

    Args:
        model: checkpoint, archive, or a loaded model.
        device: torch device; the model is moved there.
        dtype: ``float32``, ``float64`` or a torch dtype; the model's own when None. Archives have one precision.
        forces: ``gradient`` or ``direct``; the model's default when None.

    For an imported model of the published code (energy convention ``per_atom``) the potential energy is the number of
    atoms times the model's per-atom energy, while gradient forces are minus the gradient of the model's raw output,
    as the published code defines them: they are not the gradient of that potential energy, and the stress is
    consistent with the forces. Direct forces have no stress.
    """

    name = "tdn"
    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]  # ASE's base class does not call it a ClassVar
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "cpu",
        dtype: str | torch.dtype | None = None,
        forces: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = ready(model, device, dtype)
        self.device = device
        self.forces = forces or self.model.force_kinds[0]
        check_kind(self.forces, self.model.force_kinds)
        self._use = RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_use"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _use=RLock())

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As in ASE; calls from several threads are evaluated one after the other."""
        with self._use:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate; ASE calls this when a property is requested and the structure has changed."""
        super().calculate(atoms, properties, system_changes)
        structure = self.atoms  # a copy that ASE keeps
        assert structure is not None
        if "stress" in (properties or ()) and not (structure.pbc.all() and self.forces != "direct"):
            raise NoStressError(
                f"there is no stress for pbc {structure.pbc.tolist()} and {self.forces} forces; "
                "use a structure periodic in three directions and forces='gradient'"
            )
        (self.results,) = self.model.results([arrays_of(structure, self.model)], self.forces)


def predict(
    model: str | Path | Model,
    structures: Atoms | Iterable[Atoms],
    batch_size: int = 16,
    device: str = "cpu",
    dtype: str | torch.dtype | None = None,
    forces: str | None = None,
) -> list[Atoms]:
    """Evaluate many structures, several at a time: the same numbers as one at a time, in less time.

    Args:
        model: checkpoint, archive, or a loaded model.
        structures: any mixture of molecules, surfaces, crystals and single atoms; or one structure.
        batch_size: structures evaluated together.
        device: as in ``TDNCalculator``.
        dtype: as in ``TDNCalculator``.
        forces: as in ``TDNCalculator``.

    Returns:
        Copies, in the same order, with all properties of ``TDNCalculator`` stored. ``get_potential_energy()``,
        ``get_forces()`` and, for structures periodic in three directions, ``get_stress()`` return them, and
        ``ase.io.write("results.xyz", ...)`` writes them.

    Raises:
        TDNError: the model cannot evaluate a structure; the message starts with its number.
    """
    return list(predict_each(model, structures, batch_size, device, dtype, forces))


def predict_each(
    model: str | Path | Model,
    structures: Atoms | Iterable[Atoms],
    batch_size: int = 16,
    device: str = "cpu",
    dtype: str | torch.dtype | None = None,
    forces: str | None = None,
) -> Iterator[Atoms]:
    """``predict`` as an iterator that holds one batch at a time, for more structures than fit in memory."""
    loaded = ready(model, device, dtype)
    kind = forces or loaded.force_kinds[0]
    each = [structures] if isinstance(structures, Atoms) else structures
    for batch in in_batches(enumerate(each), batch_size):
        graphs = [numbered_arrays(number, atoms, loaded) for number, atoms in batch]
        for (_, atoms), results in zip(batch, loaded.results(graphs, kind), strict=True):
            copy = atoms.copy()
            copy.calc = SinglePointCalculator(copy, **results)
            yield copy


def ready(model: str | Path | Model, device: str, dtype: str | torch.dtype | None) -> Model:
    """The model, loaded if it is a file, in the requested precision on the device, without dropout."""
    compute_serially_after_fork()
    check_device(device)
    loaded = in_precision(load(model) if isinstance(model, str | Path) else model, dtype)
    return loaded.to(device).eval()


def in_precision(model: Model, dtype: str | torch.dtype | None) -> Model:
    """The model in the requested precision; that of an archive is fixed when it is deployed."""
    if dtype is None:
        return model
    name = precision(dtype)
    return model if name == model.precision else model.in_dtype(name)


def arrays_of(atoms: Atoms, model: Model) -> GraphArrays:
    """Edges of a structure as a model sees them."""
    return graph_arrays(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, model.elements, model.cutoff)


def numbered_arrays(number: int, atoms: Atoms, model: Model) -> GraphArrays:
    """Edges of one of many structures; an error names its number."""
    try:
        return arrays_of(atoms, model)
    except TDNError as problem:
        raise TDNError(f"structure {number}: {problem}") from None
