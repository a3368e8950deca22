"""Data of a run: structures read and split, and what the model takes from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

from tdn.data.dataset import LabeledSet, elements_of, labeled_set, read_frames, unused_names, without_references
from tdn.data.graph import Graph, given
from tdn.data.references import (
    energy_scale,
    given_references,
    isolated_energies,
    least_squares_references,
    reference_energies,
)
from tdn.errors import TDNError
from tdn.model import ModelConfig
from tdn.training.config import TrainConfig, as_list
from tdn.training.options import build_options


@dataclass(frozen=True)
class TrainingData:
    """Structures for training and validation, and the constants that come from the training structures."""

    train: list[Graph]  #: labels as in the files
    valid: list[Graph]
    model_config: ModelConfig
    references: list[float]  #: eV, in the order of the model's elements
    references_from: str  #: "isolated atoms", "least squares" or "configuration"
    scale: float  #: eV (and eV/angstrom): root mean square of the force components
    min_distance: float  #: angstrom, shortest pair of the training structures
    files: dict[str, list[str]]  #: names of the files
    unused: list[str]  #: names in the files that look like labels but are not read

    @property
    def label_counts(self) -> dict[str, int]:
        """Number of structures for training and validation with each label."""
        graphs = self.train + self.valid
        return {
            "energies": sum(bool(given(graph.energy).isfinite().all()) for graph in graphs),
            "forces": sum(bool(given(graph.forces).isfinite().all()) for graph in graphs),
            "stress": sum(bool(given(graph.has_stress).all()) for graph in graphs),
        }

    @property
    def has_stress(self) -> bool:
        """Whether any structure has a stress label."""
        return self.label_counts["stress"] > 0

    def above_references(self, part: str) -> list[Graph]:
        """Structures of ``"train"`` or ``"valid"`` with energies above the references."""
        return [without_references(graph, self.references) for graph in getattr(self, part)]


def prepare_data(config: TrainConfig, tell: Callable[[str], None]) -> TrainingData:
    """Read the files, build all graphs, fix elements, references, scale and average degree."""
    train_files = read_files(config, as_list(config.data.train))
    wish = config.data.valid
    valid_files = [] if isinstance(wish, float) else read_files(config, as_list(wish))
    elements = config.model.get("elements") or elements_of(atoms for _, frames in train_files for atoms in frames)
    options = build_options(ModelConfig, {"elements": elements, **config.model}, "model")
    if isinstance(config.data.references, dict):
        given_references(config.data.references, options.elements)  # mistakes are told before the graphs are built
    train = labeled_set(train_files, options.elements, options.cutoff)
    graphs, valid = train.graphs, labeled_set(valid_files, options.elements, options.cutoff).graphs
    if isinstance(wish, float):
        graphs, valid = split(graphs, wish, config.training.seed)
    if not graphs or not valid:
        raise TDNError(f"{len(graphs)} training and {len(valid)} validation structures are too few; add structures")
    train = LabeledSet(graphs, train.isolated, train.files)
    references, source = choose_references(config.data.references, train, options.elements)
    if source == "least squares":
        tell_of_references(train, options.elements, tell)
    return TrainingData(
        train=graphs,
        valid=valid,
        model_config=fill_from_data(options, config.model, train),
        references=references,
        references_from=source,
        scale=energy_scale(graphs, references),
        min_distance=train.min_distance,
        files={"train": train.files, "valid": [name for name, _ in valid_files] or train.files},
        unused=unused_names(atoms for _, frames in train_files + valid_files for atoms in frames),
    )


def read_files(config: TrainConfig, names: list[str]) -> list[tuple[str, Any]]:
    """(file name, structures) of each file."""
    paths = [config.path(name) for name in names]
    return [(path.name, read_frames(path)) for path in paths]


def split(graphs: list[Graph], fraction: float, seed: int) -> tuple[list[Graph], list[Graph]]:
    """Hold out a random fraction, at least one structure; the rest keeps its order."""
    n_valid = max(1, round(fraction * len(graphs)))
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = set(order[:n_valid])
    rest = [graph for index, graph in enumerate(graphs) if index not in chosen]
    return rest, [graphs[index] for index in sorted(chosen)]


def choose_references(wish: str | dict, train: LabeledSet, elements: tuple[str, ...]) -> tuple[list[float], str]:
    """Reference energies as the configuration asks for them, and where they come from."""
    if isinstance(wish, dict):
        return given_references(wish, elements), "configuration"
    if wish == "least_squares":
        return least_squares_references(train.graphs, elements), "least squares"
    return reference_energies(train.graphs, train.isolated, elements)


def tell_of_references(train: LabeledSet, elements: tuple[str, ...], tell: Callable[[str], None]) -> None:
    """What the user should know of reference energies that are fitted by least squares."""
    known = isolated_energies(train.isolated)
    if known:
        found = " ".join(elements[species] for species in sorted(known))
        missing = " ".join(element for species, element in enumerate(elements) if species not in known)
        why = f", none of {missing}" if missing else ""
        tell(f"Note: isolated atoms of {found} were found{why}; they are left out and least squares is used.")
    if len({tuple(composition.tolist()) for composition in compositions(train.graphs)}) < len(elements):
        tell("Note: the compositions fix the reference energies only in sum; energies of isolated atoms are arbitrary.")


def compositions(graphs: list[Graph]) -> list[torch.Tensor]:
    """Fraction of each element in each structure, rounded so that equal ones compare equal."""
    n_elements = 1 + max(int(graph.species.max()) for graph in graphs)
    counts = [torch.bincount(graph.species, minlength=n_elements).double() for graph in graphs]
    return [(count / count.sum()).round(decimals=6) for count in counts]


def fill_from_data(options: ModelConfig, given: dict[str, Any], train: LabeledSet) -> ModelConfig:
    """Averages of the training structures for the options that the configuration leaves open."""
    n_atoms = sum(len(graph.species) for graph in train.graphs) / len(train)
    averages = {"avg_degree": max(train.average_degree, 1.0), "avg_n_atoms": n_atoms}
    chosen = {field.name: getattr(options, field.name) for field in fields(options)}
    return ModelConfig(**chosen | {name: value for name, value in averages.items() if name not in given})
