"""What ``import tdn`` offers besides ``tdn.load``: the commands ``tdn train``, ``deploy`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdn.config.run import TrainConfig, config_from_dict, load_config
from tdn.conventions import precision
from tdn.errors import TDNError

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from tdn.data.source import Source
    from tdn.deployment.verify import Verdict
    from tdn.evaluation.evaluate import Evaluation
    from tdn.model.protocol import Model


@dataclass(frozen=True)
class TrainingResult:
    """Results of a run."""

    folder: Path  #: with checkpoints, log and plots
    checkpoint: Path  #: the best model, for ``tdn.load`` and ``tdn deploy``
    errors: dict[str, float]  #: of the best model on the validation structures, as in ``Evaluation.errors``


def train(
    config: str | Path | Mapping[str, Any] | TrainConfig, *, resume: bool = False, overwrite: bool = False
) -> TrainingResult:
    """Train a model, as ``tdn train`` does; progress goes to the logger ``tdn``.

    Args:
        config: a YAML file, the same as a mapping (relative paths start in the current folder), or a
            :class:`tdn.config.run.TrainConfig`.
        resume: continue an interrupted run.
        overwrite: replace the files of an earlier run.

    Raises:
        TDNError: an option is wrong, the data cannot be used, or the run folder exists.
    """
    from tdn.checkpoints import training_summary
    from tdn.training.run import train as run
    from tdn.training.saving import BEST

    if isinstance(config, Mapping):
        config = config_from_dict(dict(config))
    elif not isinstance(config, TrainConfig):
        config = load_config(config)
    folder = run(config, resume=resume, overwrite=overwrite)
    checkpoint = folder / BEST
    return TrainingResult(folder, checkpoint, training_summary(checkpoint)["errors"]["valid"])


def deploy(
    checkpoint: str | Path,
    path: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    structures: Sequence[Atoms] = (),
    overwrite: bool = False,
    tabulate: bool = True,
) -> list[Verdict]:
    """Write the archive that LAMMPS runs, and verify it, as ``tdn deploy`` does.

    Args:
        checkpoint: of ``tdn train`` or ``tdn import-airs``.
        path: the archive, by convention ``NAME.tdn.pt``.
        dtype: ``float32``, ``float64`` or a torch dtype; the checkpoint's when None.
        structures: structures to verify on, besides random ones.
        overwrite: replace an existing file.
        tabulate: allow tables of the radial networks.

    Returns:
        The checks, all passed.

    Raises:
        TDNError: the file exists, or a check failed (then nothing is left at ``path``).
    """
    import torch

    from tdn.checkpoints import load_with_summary
    from tdn.data import graph_from_atoms
    from tdn.deployment.write import write_archive

    chosen = None if dtype is None else getattr(torch, precision(dtype))
    model, summary = load_with_summary(checkpoint)
    graphs = [graph_from_atoms(atoms, model.elements, model.cutoff) for atoms in structures]
    return write_archive(
        model, path, chosen, training=summary, structures=graphs, overwrite=overwrite, tabulate=tabulate
    )


def evaluate(
    model: str | Path | Model,
    data: str | Path | Mapping[str, Any] | Atoms | Iterable[Any] | Source,
    *,
    limit: int | None = None,
    batch_size: int = 4,
    device: str = "cpu",
) -> Evaluation:
    """Errors of a model on labeled structures, as ``tdn evaluate`` prints them.

    Args:
        model: checkpoint, archive, or a loaded model.
        data: a path, a mapping with ``path`` and options of its format, or a list of these; structures of ASE (one,
            a list, an iterator) with labels: the stored results of their calculators ``energy`` (eV, of all atoms),
            ``forces`` (n_atoms, 3) eV/angstrom and ``stress`` (6,) eV/angstrom^3, tension positive; or a source
            (:func:`tdn.data.source.open_source`).
        limit: evaluate at most this many structures, evenly spread over the data.
        batch_size: structures predicted together.
        device: torch device; the model is moved there.

    Returns:
        ``errors`` (meV, angstrom), the errors by element and by size of the force, and ``notes``: labels that are
        probably in other units, and labels that are there under names that are not read.

    Raises:
        TDNError: files cannot be read, or structures have no labels, have elements that the model does not know, or
            changed after their labels were calculated.
    """
    from tdn.ase import ready
    from tdn.evaluation.evaluate import evaluate as errors_of
    from tdn.evaluation.stream import labeled_graphs, spread, with_unread

    loaded, source = ready(model, device, None), spread(source_of(data), limit)
    graphs = labeled_graphs(source, loaded.elements, loaded.cutoff)
    return with_unread(errors_of(loaded, graphs, batch_size), source)


def source_of(data: Any) -> Source:
    """Source of what :func:`evaluate` takes."""
    from ase import Atoms

    from tdn.data.atoms_source import AtomsSource
    from tdn.data.source import Source, open_source

    if isinstance(data, Source):
        return data
    if isinstance(data, str | Path | Mapping) or not isinstance(data, Iterable):
        return open_source(plain(data))
    parts = [data] if isinstance(data, Atoms) else list(data)
    structures = [part for part in parts if isinstance(part, Atoms)]
    if structures and len(structures) < len(parts):
        raise TDNError("the data are files and structures in one list; evaluate them one after the other")
    return AtomsSource(structures) if structures else open_source(plain(parts))


def plain(data: Any) -> Any:
    """Paths as text, also in lists and mappings, as ``open_source`` needs them."""
    if isinstance(data, Path):
        return str(data)
    if isinstance(data, Mapping):
        return {name: plain(value) for name, value in data.items()}
    return [plain(item) for item in data] if isinstance(data, list | tuple) else data
