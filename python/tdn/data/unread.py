"""Names in files that look like labels but are not read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

    found: Counter[tuple[str, str]] = field(default_factory=Counter)  #: option that would read it, and its name
    energies: Counter[str] = field(default_factory=Counter)  #: names of energies in structures that have no energy
    nameless: int = 0  #: structures of plain XYZ with columns besides the positions

    def __add__(self, other: UnreadLabels) -> UnreadLabels:
        return UnreadLabels(self.found + other.found, self.energies + other.energies, self.nameless + other.nameless)

    def note(self) -> str | None:
        """One line for the user, None if there is nothing to say."""
        listed = most({name: count for (_, name), count in self.found.items()})
        names = [f"{shown(name, 40)} (in {count:,})" for name, count in listed]
        more = len(self.found) - len(names)
        names += [f"{more} more"] if more else []
        options = sorted({option for option, _ in self.found})
        parts = []
        if names:
            parts.append(
                f"names that look like labels are not read: {', '.join(names)}; select them with "
                f"{' and '.join(options)}"
            )
        if self.nameless:
            parts.append(
                f"columns besides the positions in {self.nameless:,} structures have no name and are not read; "
                "Properties=species:S:1:pos:R:3:forces:R:3 in the comment line names them"
            )
        return f"Note: {'; '.join(parts)}." if parts else None


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


def unread_of(frames: Iterable[Atoms], keys: LabelKeys) -> UnreadLabels:
    """What is not read of structures of ASE."""
    found = UnreadLabels()
    for atoms in frames:
        values = {name: value for name, value in named_values(atoms).items() if not isinstance(value, dict)}
        columns = {name: 3 for name, value in values.items() if getattr(value, "shape", ())[-2:] == (len(atoms), 3)}
        found += unread_in([name for name in values if name not in columns], columns, keys)
    return found
