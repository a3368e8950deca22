"""Fine-tuning: a run that starts from the weights of another model, optionally with additional elements or heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdn.checkpoints import KEY, load_with_summary
from tdn.config import architectures
from tdn.config.model import MAX_PAIR_ELEMENTS
from tdn.config.run import TrainConfig
from tdn.errors import TDNError
from tdn.files import read_tensors
from tdn.model.potential import Potential
from tdn.statistics.collect import Statistics

#: Weights with a row for each element.
_TABLES = ("network.embedding.elements", "network.embedding.sources", "network.embedding")
_PAIRS = "pair_embedding.table"
#: Averages missing from files of the published code: argument of the importer, option of the model.
_AIRS = {"avg_num_nodes": "avg_n_atoms", "avg_degree": "avg_degree"}


@dataclass(frozen=True)
class Start:
    """The model that a run starts from."""

    model: Potential
    path: str
    summary: dict[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model without its elements; the form of its element embedding is explicit."""
        options = architectures.config_to_dict(self.model.config)
        if options.get("pair_embedding") == "auto":
            options["pair_embedding"] = "pair" if len(options["elements"]) <= MAX_PAIR_ELEMENTS else "sum"
        del options["elements"]
        return options

    def with_new(self, elements: Sequence[str]) -> tuple[str, ...]:
        """Elements of the model, followed by those of ``elements`` that it does not know."""
        known = self.model.elements
        return (*known, *(element for element in elements if element not in known))

    def adjusted(self, statistics: Statistics, elements: tuple[str, ...], config: TrainConfig) -> Statistics:
        """Statistics with the energy scale of this model, to which its weights belong, and its references if kept.

        Elements that are not in the data always keep their references.
        """
        own = self.references()
        seen = {element for pair in statistics.min_distances for element in pair.split("-")}
        keep = config.training.init_references == "keep"
        references = [
            own[element] if element in own and (keep or element not in seen) else fitted
            for element, fitted in zip(elements, statistics.references, strict=True)
        ]
        source = "the model started from" if keep else statistics.references_from
        scale = float(self.model.references.scale)
        return replace(statistics, references=references, references_from=source, scale=scale)

    def references(self) -> dict[str, float]:
        """Reference energies of the model by element, eV; an imported model has none."""
        stored = self.model.references.energies.tolist()
        known = self.summary.get("references") or dict(zip(self.model.elements, stored, strict=True))
        return known if self.model.energy_convention == "extensive" or "references" in self.summary else {}


def open_start(config: TrainConfig) -> Start | None:
    """The model named by ``training.init_from``: a checkpoint of tdn or of the published code."""
    if config.training.init_from is None:
        return None
    path = config.path(config.training.init_from)
    content = read_tensors(path, "a checkpoint of tdn train, or a .pth file of the published code")
    if KEY in content:
        model, summary = load_with_summary(path)
        check_architecture(model, path.name, config)
        return Start(model, path.name, summary)
    from tdn.interop.airs import load_airs

    wanted = {name: config.model[name] for name in ("cutoff", "forces") if name in config.model}
    averages = {new: config.model[old] for new, old in _AIRS.items() if old in config.model}
    return Start(load_airs(path, **wanted, **averages), Path(path).name, {})


def check_architecture(model: Potential, name: str, config: TrainConfig) -> None:
    """Refuse weights of another architecture."""
    own, wanted = model.config.architecture, config.model.get(architectures.KEY)
    if wanted not in (None, own):
        raise TDNError(
            f"training.init_from is {name}, a model of the architecture {own}, but model.architecture is {wanted}; "
            "leave one of them out"
        )


def take_over(model: Potential, start: Start) -> list[str]:
    """Copy the weights that both models have, rows of element tables by element; return what is new, for the user.

    Raises:
        TDNError: the shapes of a weight differ by more than the elements.
    """
    old, new, left = start.model.state_dict(), model.state_dict(), []
    indices = torch.tensor([model.elements.index(element) for element in start.model.elements])
    for name, target in new.items():
        if name.startswith("network.references."):
            continue
        if name not in old:
            left.append(name)
            continue
        source = old[name].to(target)
        if source.shape[1:] != target.shape[1:] or not (
            copy_element_rows(name, source, target, indices) or copy_if_same_shape(source, target)
        ):
            raise TDNError(
                f"weight {name} of '{start.path}' has shape {tuple(source.shape)} and the model's has "
                f"{tuple(target.shape)}; omit the options of the model section"
            )
    return what_is_new(model, start, left)


def copy_element_rows(name: str, source: Tensor, target: Tensor, indices: Tensor) -> bool:
    """Copy the rows of a table of elements, or of their pairs, to the new indices; False for other weights."""
    n_old, n_new = len(indices), int(len(target) ** 0.5)
    if name in _TABLES and len(source) == n_old:
        target[indices] = source
    elif name.endswith(_PAIRS) and len(source) == n_old**2 and len(target) == n_new**2:
        target[(indices[:, None] * n_new + indices).flatten()] = source  # T[Z_i, Z_j]
    elif name.endswith(_PAIRS) and len(source) == 2 * n_old and len(target) % 2 == 0:
        target[torch.cat([indices, indices + len(target) // 2])] = source  # U[Z_i] and V[Z_j]
    else:
        return False
    return True


def copy_if_same_shape(source: Tensor, target: Tensor) -> bool:
    """Copy a weight and return True if the shapes are the same."""
    if source.shape == target.shape:
        target.copy_(source)
    return source.shape == target.shape


def what_is_new(model: Potential, start: Start, left: list[str]) -> list[str]:
    """Lines that list what does not come from the checkpoint."""
    lines = [f"weights from {start.path}"]
    elements = [element for element in model.elements if element not in start.model.elements]
    if elements:
        lines.append(f"new elements, whose embeddings start at random: {' '.join(elements)}")
    parts = sorted({".".join(name.split(".")[1:3]) for name in left})
    if parts:
        lines.append(f"new weights, which start at random: {', '.join(parts)}")
    return lines
