"""Names in files that look like labels but are not read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tdn.data.labels import LabelKeys
from tdn.data.structure import named_values
from tdn.errors import shown

if TYPE_CHECKING:
    from ase import Atoms

#: Parts of names that belong to a label without being one.
_NO_LABEL = re.compile(r"unit|weight|kinetic|sigma|error|fermi|gap|hull|cutoff|zero_?point|stresses|energies")
_ENERGIES = ("e", "etot", "e_tot", "e0", "toten", "u0", "enthalpy")
#: Number of names that a note lists.
MOST_NAMES = 8


@dataclass(frozen=True)
class UnreadLabels:
    """Number of structures with each unread name."""

    #: option that would read it, "" if the format has none, and its name
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    energies: Counter[str] = field(default_factory=Counter)  #: names of energies in structures that have no energy
    nameless: int = 0  #: structures of plain XYZ with columns besides the positions
    fixed: frozenset[str] = frozenset()  #: formats whose labels have fixed names, and these names

    def __add__(self, other: UnreadLabels) -> UnreadLabels:
        return UnreadLabels(
            self.found + other.found,
            self.energies + other.energies,
            self.nameless + other.nameless,
            self.fixed | other.fixed,
        )

    def note(self) -> str | None:
        """One line for the user, None if there is nothing to say."""
        parts = []
        options = sorted({option for option, _ in self.found if option})
        if options:
            names = listed({name: count for (option, name), count in self.found.items() if option})
            parts.append(f"names that look like labels are not read: {names}; select them with {' and '.join(options)}")
        if bound := {name: count for (option, name), count in self.found.items() if not option}:
            parts.append(
                f"names that look like labels are not read: {listed(bound)}; names are fixed in this format "
                f"({'; '.join(sorted(self.fixed))}): write the labels under these names, or as extended XYZ"
            )
        if self.nameless:
            parts.append(
                f"columns besides the positions in {self.nameless:,} structures have no name and are not read; "
                "Properties=species:S:1:pos:R:3:forces:R:3 in the comment line names them"
            )
        return f"Note: {'; '.join(parts)}." if parts else None


def listed(counts: Mapping[str, int]) -> str:
    """The most frequent names with their counts."""
    names = [f"{shown(name, 40)} (in {count:,})" for name, count in most(counts)]
    more = len(counts) - len(names)
    return ", ".join([*names, *([f"{more} more"] if more else [])])


def most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent names, alphabetically where they are equal."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMES]


def looks_like(name: str, width: int) -> str | None:
    """Option that would read a name, None if it does not look like a label; ``width``: columns per atom, or 0."""
    plain = name.lower()
    if _NO_LABEL.search(plain):
        return None
    if width:
        return "forces_key" if width == 3 and ("force" in plain or plain == "f") else None
    if "energy" in plain or plain in _ENERGIES:
        return "energy_key"
    return "stress_key" if "stress" in plain or "virial" in plain else None


def unread_in(
    entries: Iterable[str], columns: Mapping[str, int], keys: LabelKeys, count: int = 1, nameless: bool = False
) -> UnreadLabels:
    """Unread labels of structures with the same names.

    Args:
        entries: names of values of the whole structure.
        columns: width of each property of the atoms.
        keys: names that are read.
        count: number of these structures.
        nameless: whether they have columns without a name.
    """
    read = {keys.energy, keys.forces, keys.stress}
    widths = {**dict.fromkeys(entries, 0), **columns}
    options = {name: looks_like(name, width) for name, width in widths.items() if name not in read}
    found = Counter({(option, name): count for name, option in options.items() if option})
    energies = [name for (option, name) in found if option == "energy_key" and keys.energy not in widths]
    return UnreadLabels(found, Counter(dict.fromkeys(energies, count)), count if nameless else 0)


def unread_among(values: Mapping[str, Any], n_atoms: int, keys: LabelKeys) -> UnreadLabels:
    """Unread labels of one structure whose values have names."""
    shapes = {name: shape_of(value) for name, value in values.items() if not isinstance(value, dict)}
    columns = {
        name: 3
        for name, shape in shapes.items()
        if shape[-2:] == (n_atoms, 3) and looks_like(name, 0) != "stress_key"  # of three atoms it has this shape
    }
    return unread_in([name for name in shapes if name not in columns], columns, keys)


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of an array or of nested lists, from the first item of each; () for anything else."""
    if isinstance(value, list):
        return (len(value), *(shape_of(value[0]) if value else ()))
    shape = getattr(value, "shape", ())
    return shape if isinstance(shape, tuple) else ()


def unread_of(frames: Iterable[Atoms], keys: LabelKeys) -> UnreadLabels:
    """Unread labels of ASE structures."""
    return sum((unread_among(named_values(atoms), len(atoms), keys) for atoms in frames), UnreadLabels())
