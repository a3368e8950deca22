"""The section ``data`` of a configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic.dataclasses import dataclass

from tdn.config.option import Options, option
from tdn.errors import TDNError

#: Types in a list of data: a path, or a mapping with a path and options of its format.
SPEC = (str, dict)
#: Usual names of the labels.
LABELS = {"energy_key": "energy", "forces_key": "forces", "stress_key": "stress"}
_NAME = "give the name that the label has in the file"


@dataclass(frozen=True)
class DataConfig(Options):
    """Which structures to learn from. Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3."""

    section: ClassVar[str] = "data"

    train: Annotated[
        str | list | dict,
        option(
            "a path, a mapping `{path: ..., format: ..., ...}`, or a list of both: [datasets.md](datasets.md) has "
            "formats and options; `$NAME` is an environment variable",
            cure="give paths of files",
        ),
    ]
    valid: Annotated[
        str | list | dict | float,
        option(
            "the same, or the fraction to hold out: of the trajectories if the data have them, else of the structures",
            cure="give files or a fraction between 0 and 1",
        ),
    ] = 0.1
    energy_key: Annotated[
        str, option("name of the energy in extended XYZ and in ASE's files", cure=_NAME, min_length=1)
    ] = "energy"
    forces_key: Annotated[str, option("name of the forces there", cure=_NAME, min_length=1)] = "forces"
    stress_key: Annotated[
        str,
        option(
            "name of the stress there; a name that contains `virial` reads W = -stress x volume, in eV",
            cure=_NAME,
            min_length=1,
        ),
    ] = "stress"
    references: Annotated[
        str | dict,
        option(
            "energy of each element in eV (`{H: -13.6, O: -2041.0}`); `auto`: isolated atoms in the data if there are "
            "any, else `least_squares`",
            cure="use auto, least_squares or an energy for each element",
        ),
    ] = "auto"
    sample: Annotated[
        int,
        option(
            "larger data sets are not read completely at the start: averages and references come from about this many "
            "structures",
            unit="structures",
            cure="give a positive number of structures",
            gt=0,
        ),
    ] = 20_000
    memory: Annotated[
        float,
        option(
            "memory for graphs (per process); larger data sets are read again in every epoch, by "
            "`training.workers` processes",
            unit="GB",
            cure="give a number of GB that is not negative",
            ge=0,
        ),
    ] = 4.0
    cache: Annotated[
        str | None,
        option(
            "folder for averages of large data sets, reused as long as data and options stay the same; null: "
            "`.statistics` beside the run"
        ),
    ] = None

    def __post_init__(self) -> None:
        if not self.train:
            raise TDNError(f"data.train is {self.train!r}; name at least one file of structures")
        for name in ("train", "valid"):
            for part in getattr(self, name) if isinstance(getattr(self, name), list) else ():
                if not isinstance(part, SPEC):
                    raise TDNError(f"data.{name} lists {part!r}, which is not a file name; give paths of files")
        if isinstance(self.valid, float) and not 0.0 < self.valid < 1.0:
            raise TDNError(f"data.valid is {self.valid}; give files or a fraction between 0 and 1")
        if isinstance(self.references, str) and self.references not in ("auto", "least_squares"):
            raise TDNError(
                f"data.references is '{self.references}'; use auto, least_squares or an energy for each element"
            )

    @property
    def label_options(self) -> dict[str, str]:
        """Names of labels that differ from the usual ones, as options of the data's format."""
        return {option: getattr(self, option) for option, usual in LABELS.items() if getattr(self, option) != usual}
