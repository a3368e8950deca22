"""The rate file: measured costs of atoms, edges, rows and messages on one machine."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tdn.errors import TDNError


@dataclass(frozen=True)
class Rates:
    """Fields of the file, a JSON object with these names."""

    model: str  #: name in the label of the archive that was measured
    device: str  #: "cpu", "cuda" or "cuda:0"
    threads: int  #: of one rank
    dtype: str
    date: str  #: of the measurement, ISO 8601
    edges_per_atom: float  #: of the measured graphs
    seconds_fixed: float  #: of a step with no atoms
    seconds_per_atom: float
    seconds_per_edge: float
    bytes_fixed: float
    bytes_per_atom: float
    bytes_per_edge: float
    bytes_per_remote: float
    message_latency: float  #: seconds
    bandwidth: float  #: bytes per second

    @property
    def on_gpu(self) -> bool:
        """True if a GPU was measured."""
        return self.device.startswith("cuda")

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


#: Fields that may be any number from zero on; the bandwidth must be positive.
_NUMBERS = tuple(field.name for field in fields(Rates) if field.type == "float")


def read_rates(path: str | Path) -> Rates:
    """Read and check a rate file.

    Raises:
        TDNError: the file does not exist or is not a JSON object, or a field is missing or not a number from zero on.
    """
    path = Path(path)
    cure = "make one with 'tdn plan MODEL --measure -o FILE'"
    try:
        content = json.loads(path.read_text())
    except OSError:
        raise TDNError(f"rate file '{path}' cannot be read; {cure}") from None
    except ValueError:
        raise TDNError(f"'{path}' is not JSON so it is not a rate file; {cure}") from None
    if not isinstance(content, dict):
        raise TDNError(f"'{path}' is not a JSON object so it is not a rate file; {cure}")
    missing = [field.name for field in fields(Rates) if field.name not in content]
    if missing:
        raise TDNError(f"rate file '{path}' lacks {', '.join(missing)}; {cure}")
    for name in _NUMBERS:
        _check_number(path, name, content[name])
    return Rates(**{field.name: content[field.name] for field in fields(Rates)})


def _check_number(path: Path, name: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if not number or (name == "bandwidth" and value == 0):
        raise TDNError(f"rate file '{path}' has {name} = {value!r}, which is not a measured value; measure it again")


def objection(rates: Rates, model: str, dtype: str, gpus: bool) -> str:
    """Why these rates do not apply to a run, in one sentence; empty if they do.

    Args:
        rates: content of the rate file.
        model: name of the model to run.
        dtype: its precision.
        gpus: one GPU per rank.
    """
    if gpus and not rates.on_gpu:
        reason = f"no GPU rates are known (the rate file was made on device {rates.device})"
    elif not gpus and rates.on_gpu:
        reason = f"the rate file was made on device {rates.device} and the ranks have no GPUs without --gpus"
    elif rates.model != model:
        reason = f"the rate file was measured with model '{rates.model}', not '{model}'"
    elif rates.dtype != dtype:
        reason = f"the rate file was measured in {rates.dtype}, not {dtype}"
    else:
        return ""
    return reason + ", so memory and time are unknown; measure again with --measure"
