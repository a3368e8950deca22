"""ASE structures in memory as a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tdn.data.labels import DEFAULT_KEYS, LabelKeys
from tdn.data.source_base import Source, hashed
from tdn.data.structure import Structure
from tdn.data.unread import UnreadLabels, unread_of
from tdn.errors import TDNError

if TYPE_CHECKING:
    from ase import Atoms


class AtomsSource(Source):
    """A list of structures; labels are the stored results of their calculators, else from ``info`` and ``arrays``."""

    def __init__(self, structures: Sequence[Atoms], keys: LabelKeys = DEFAULT_KEYS):
        """Args: ``structures``, at least one; ``keys``, names of the labels."""
        if not structures:
            raise TDNError("the list of structures is empty; give at least one")
        self.structures, self.keys = list(structures), keys

    def __len__(self) -> int:
        return len(self.structures)

    def __getitem__(self, index: int) -> Structure:
        index = self.checked_index(index)
        atoms, name = self.structures[index], f"structure {index}"
        if changed := changed_since_calculation(atoms):
            raise TDNError(
                f"{name}: its {' and '.join(changed)} changed after its labels were calculated; calculate them again"
            )
        return Structure.from_atoms(atoms, name, self.keys)

    @property
    def file_names(self) -> list[str]:
        """What messages say instead of a file name."""
        return ["structures in memory"]

    def one_atom_indices(self) -> NDArray[np.int64]:
        """All of them."""
        return np.array([index for index, one in enumerate(self.structures) if len(one) == 1], dtype=np.int64)

    def unread_labels(self) -> UnreadLabels:
        """Unread labels of all structures."""
        return unread_of(self.structures, self.keys)

    def fingerprint(self) -> str:
        """Hash of atoms and labels."""
        return hashed("atoms", [astuple(structure) for structure in self])


def changed_since_calculation(atoms: Atoms) -> list[str]:
    """Parts of a structure that have changed since its calculator stored results."""
    calculator = atoms.calc
    if not getattr(calculator, "results", None) or getattr(calculator, "atoms", None) is None:
        return []
    changes = calculator.check_state(atoms) if hasattr(calculator, "check_state") else []
    return [name for name in ("numbers", "positions", "cell", "pbc") if name in changes]
