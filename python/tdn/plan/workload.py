"""Input of a plan: the relevant sizes of a model, and the system divided into one block per rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tdn import schema
from tdn.errors import TDNError
from tdn.plan.geometry import Grid, Triple, choose_grid

#: Bytes of one number of a row, by name of the precision.
BYTES = {"float32": 4, "float64": 8, "bfloat16": 2}
#: LAMMPS's default skin of the neighbor list in metal units, angstrom.
DEFAULT_SKIN = 2.0


@dataclass(frozen=True)
class ModelSize:
    """The part of a label that determines traffic and memory."""

    name: str
    cutoff: float  #: angstrom
    layer_widths: tuple[int, ...]  #: numbers of a row, by layer
    dtype: str  #: precision of the evaluation, a key of BYTES
    force_width: int = 0  #: numbers of a row that the head of direct forces reads; 0 for gradient forces
    wire: str = "model"  #: precision of rows in messages, "model" or a key of BYTES

    @property
    def bytes_per_number(self) -> int:
        """Bytes of one number in a message."""
        return BYTES[self.dtype if self.wire == "model" else self.wire]

    @property
    def numbers_per_step(self) -> int:
        """Numbers that each remote row costs in a step, both directions together.

        Gradient forces send every row and receive its gradient; direct forces only send.
        """
        forward = sum(self.layer_widths)
        return forward + self.force_width if self.force_width else 2 * forward

    @property
    def exchanges(self) -> int:
        """Exchanges in a step, both directions together."""
        return len(self.layer_widths) + 1 if self.force_width else 2 * len(self.layer_widths)


def model_size(path: str | Path, dtype: str | None = None, wire: str = "model") -> ModelSize:
    """Sizes from an archive's label, for the kind of forces that the archive names first.

    Args:
        path: archive of ``tdn deploy``.
        dtype: precision of the evaluation instead of the archive's.
        wire: precision of rows in messages.
    """
    from tdn.deployment.archive import read_label

    label = read_label(path)
    direct = label[schema.FORCE_KINDS][0] == "direct"
    return ModelSize(
        name=label[schema.MODEL_NAME],
        cutoff=float(label[schema.CUTOFF]),
        layer_widths=tuple(label[schema.LAYER_WIDTHS]),
        dtype=dtype or label[schema.DTYPE],
        force_width=label[schema.FORCE_WIDTH] if direct else 0,
        wire=wire,
    )


@dataclass(frozen=True)
class System:
    """A periodic orthogonal box, filled evenly and divided into one equal block per rank."""

    n_atoms: int
    box: Triple  #: angstrom
    grid: Grid  #: ranks along each axis
    skin: float = DEFAULT_SKIN  #: of the neighbor list, angstrom

    @classmethod
    def make(
        cls,
        n_atoms: int,
        n_ranks: int,
        density: float | None = None,
        box: Triple | None = None,
        grid: Grid | None = None,
        skin: float = DEFAULT_SKIN,
    ) -> System:
        """Check a user's numbers; by default the box is cubic and the grid of ranks is LAMMPS's.

        Args:
            n_atoms: atoms in the box.
            n_ranks: MPI ranks.
            density: atoms per angstrom^3; needed without a box.
            box: sides, angstrom.
            grid: ranks along each axis.
            skin: of the neighbor list, angstrom.
        """
        _check_count("atoms", n_atoms)
        _check_count("ranks", n_ranks)
        if not (math.isfinite(skin) and skin >= 0):
            raise TDNError(f"the skin is {skin:g} angstrom; give zero or a positive length")
        box = _box(n_atoms, density, box)
        if grid is not None and (min(grid) < 1 or math.prod(grid) != n_ranks):
            shape = " ".join(map(str, grid))
            raise TDNError(f"processors {shape} is not a grid of {n_ranks} ranks; give three numbers of that product")
        return cls(n_atoms, box, grid or choose_grid(n_ranks, box), skin)

    @property
    def n_ranks(self) -> int:
        """MPI ranks."""
        return math.prod(self.grid)

    @property
    def density(self) -> float:
        """Atoms per angstrom^3."""
        return self.n_atoms / math.prod(self.box)

    @property
    def block(self) -> Triple:
        """Sides of the block of one rank, angstrom."""
        a, b, c = (length / n for length, n in zip(self.box, self.grid, strict=True))
        return a, b, c


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise TDNError(f"the number of {name} is {value}; give a whole number of at least 1")


def _box(n_atoms: int, density: float | None, box: Triple | None) -> Triple:
    """The given box, or the cube that follows from the density."""
    if density is not None and not (math.isfinite(density) and density > 0):
        raise TDNError(f"the density is {density:g} atoms per cubic angstrom; give a positive number (water: 0.1)")
    if box is None:
        if density is None:
            raise TDNError("neither --density nor --box is given; give one of them")
        side = (n_atoms / density) ** (1 / 3)
        return side, side, side
    if not all(math.isfinite(length) and length > 0 for length in box):
        raise TDNError(f"the box is {box[0]:g} x {box[1]:g} x {box[2]:g} angstrom; give three positive lengths")
    if density is not None and abs(n_atoms / math.prod(box) / density - 1) > 0.01:
        raise TDNError(
            f"{n_atoms} atoms in this box have a density of {n_atoms / math.prod(box):.4g}, not the {density:g} atoms "
            "per cubic angstrom of --density; omit one of them"
        )
    return box
