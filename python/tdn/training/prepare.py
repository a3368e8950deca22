"""Data of a run: opens and splits structures, and computes the constants that the model takes from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdn.config.presets import with_setting
from tdn.config.run import TrainConfig, model_settings
from tdn.config.settings import Settings
from tdn.data.graph import Graph
from tdn.data.graphs import GraphSet, spread
from tdn.data.loaded import Loaded
from tdn.data.progress import tracked
from tdn.data.source import Source, Subset, open_source
from tdn.data.split import split_source
from tdn.data.unread import UnreadLabels, most
from tdn.errors import TDNError, shown
from tdn.statistics.collect import Statistics, cache_file, collect, read_cache, sampled, write_cache
from tdn.statistics.isolated import SingleAtom, check_agreement, crystals_note, single_atom
from tdn.statistics.references import given_references
from tdn.training.finetuning import Start

#: Structures whose names of labels are examined, and validation structures whose labels are counted in large data.
PEEK = 100


@dataclass(frozen=True)
class TrainingData:
    """Structures for training and validation, and the constants that come from the training structures."""

    train: GraphSet  #: energies as in the files
    valid: GraphSet
    model_config: Settings
    statistics: Statistics
    label_counts: dict[str, int]  #: structures for training and validation with each label, among those examined
    files: dict[str, list[str]]  #: names of the files
    left_out: dict[str, int]  #: contents of the files that are not used: reason and count
    unread: UnreadLabels  #: names in the files that look like labels but are not read
    crystals: str | None  #: note for the user about structures of one atom that are not isolated
    units: list[str]  #: warnings about labels that are probably in another unit
    unlearned: list[str] = field(default_factory=list)  #: elements whose weights stay random: no training atom has any

    @property
    def references(self) -> list[float]:
        """Reference energies, eV, in the order of the model's elements."""
        return self.statistics.references

    @property
    def has_stress(self) -> bool:
        """Whether any structure has a stress label."""
        return self.label_counts["stress"] > 0


def prepare_data(config: TrainConfig, start: Start | None = None) -> TrainingData:
    """Open the data, determine elements, references, scale and averages; build the graphs to keep in memory.

    Args:
        config: the run.
        start: model that the run starts from; its options are the defaults.
    """
    origin = open_source(config.data.train, config.path, config.data.label_options)
    source = loaded(origin, config.data.sample)
    written = {**(start.options if start else {}), **config.model}
    elements = config.model.get("elements") or source.elements()
    elements = start.with_new(elements) if start else tuple(elements)
    options = model_settings({**with_setting(written), "elements": elements})
    if isinstance(config.data.references, dict):
        given_references(config.data.references, options.elements)  # errors are reported before the graphs are built
    source, isolated, singles = without_isolated(source, options)
    train, valid, valid_origin, more = split(config, source, options)
    singles = singles + more
    check_agreement(atom for atom in singles if atom.is_isolated(options.cutoff))
    origins = [origin] if valid_origin is None else [origin, valid_origin]
    unread = check_energies(config, sum((one.unread_labels() for one in origins), UnreadLabels()))
    if not len(train) or not len(valid):
        raise TDNError(f"{len(train)} training and {len(valid)} validation structures are too few; add structures")
    limit = 1e9 * config.data.memory
    train_set = GraphSet(train, options.elements, options.cutoff).keep_if_small(limit)
    valid_set = GraphSet(valid, options.elements, options.cutoff).keep_if_small(limit)
    statistics = statistics_of(config, train_set, isolated)
    of_valid = statistics_of_valid(valid_set)
    counts = Counter(statistics.labels) + Counter(of_valid.labels)
    other_units = [] if valid_origin is None else of_valid.warnings
    return TrainingData(
        train=train_set,
        valid=valid_set,
        model_config=fill_from_data(options, written, statistics),
        statistics=start.adjusted(statistics, options.elements, config) if start else statistics,
        label_counts={name: counts[name] for name in statistics.labels},
        files={"train": origins[0].file_names, "valid": origins[-1].file_names},
        left_out=dict(sum((Counter(source.left_out) for source in origins), Counter())),
        unread=unread,
        crystals=crystals_note(singles, options.cutoff),
        units=[*statistics.warnings, *(one.replace(":", " about the validation data:", 1) for one in other_units)],
        unlearned=unlearned_elements(options.elements, statistics, start.model.elements if start else ()),
    )


def unlearned_elements(elements: Sequence[str], statistics: Statistics, known: Sequence[str]) -> list[str]:
    """Elements without neighbors in the training structures, except those that the initial model knows."""
    learned = {element for pair in statistics.min_distances for element in pair.split("-")}
    return [element for element in elements if element not in learned and element not in known]


def loaded(source: Source, limit: int) -> Source:
    """The source if it is large, else its structures in memory."""
    return Loaded(source) if len(source) <= limit else source


def without_isolated(source: Source, options: Settings) -> tuple[Source, list[Graph], list[SingleAtom]]:
    """The source without isolated atoms, the isolated atoms, and all structures of one atom.

    In large data isolated atoms stay in the source, and those are found that it knows without reading every structure;
    :class:`tdn.training.isolated.IsolatedAtoms` meets the others.
    """
    known = source.one_atom_indices().tolist()
    indices = known if isinstance(source, Loaded) else sorted({*known, *sampled(source, PEEK)})
    atoms = {index: single_atom(source[index]) for index in indices}
    singles = {index: atom for index, atom in atoms.items() if atom is not None}
    isolated = [index for index, atom in singles.items() if atom.is_isolated(options.cutoff)]
    graphs = GraphSet(source, options.elements, options.cutoff)
    found = [graphs[index] for index in isolated]
    if isolated and isinstance(source, Loaded):
        source = Subset(source, sorted(set(range(len(source))) - set(isolated)))
    return source, found, list(singles.values())


def split(
    config: TrainConfig, source: Source, options: Settings
) -> tuple[Source, Source, Source | None, list[SingleAtom]]:
    """Structures for training and for validation; if the latter have a separate source, it and its single atoms."""
    requested = config.data.valid
    if not isinstance(requested, float):
        origin = open_source(requested, config.path, config.data.label_options)
        valid, _, singles = without_isolated(loaded(origin, config.data.sample), options)
        return source, valid, origin, singles
    if source.get_groups() is not None:
        return *split_source(source, requested, config.training.seed), None, []
    rest, held_out = random_split(len(source), requested, config.training.seed)
    return Subset(source, rest), Subset(source, held_out), None, []


def random_split(n: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out a random fraction, at least one structure; both parts keep their order."""
    n_valid = max(1, round(fraction * n))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:n_valid]
    held_out = np.zeros(n, dtype=bool)
    held_out[order.numpy()] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def statistics_of(config: TrainConfig, train: GraphSet, isolated: list[Graph]) -> Statistics:
    """Statistics of all graphs in memory, else of a sample, from the cache if data and options are the same."""
    requested = config.data.references
    if train.kept is not None:
        return collect(train.kept, isolated, train.elements, requested)
    options = (train.elements, train.cutoff, requested, config.data.sample)
    path = cache_file(cache_folder(config), train.source, *options)
    found = read_cache(path)
    if found is None:
        indices = sampled(train.source, config.data.sample)
        graphs = (train.original(index) for index in indices)
        what = "averages of the training structures"
        found = collect(tracked(graphs, len(indices), what), isolated, train.elements, requested)
        write_cache(path, found)
    return found


def cache_folder(config: TrainConfig) -> Path:
    """Folder for stored statistics: as configured, else beside the run's folder."""
    if config.data.cache is not None:
        return config.path(config.data.cache)
    return config.path(config.run_dir).parent / ".statistics"


def statistics_of_valid(graphs: GraphSet) -> Statistics:
    """Labels of the validation structures, in large data of a few."""
    indices = range(len(graphs)) if graphs.kept is not None else spread(len(graphs), PEEK)
    return collect((graphs.original(index) for index in indices), [], graphs.elements, "least_squares")


def check_energies(config: TrainConfig, unread: UnreadLabels) -> UnreadLabels:
    """Refuse structures whose energy has another name than the one that is read, unless energies are not learned."""
    weights = (config.training.energy_weight, (config.training.second_stage or {}).get("energy_weight"))
    if unread.energies and any(weights):
        count, key = max(unread.energies.values()), config.data.energy_key
        names = ", ".join(shown(name, 40) for name, _ in most(unread.energies))
        raise TDNError(
            f"{count} structures have no energy under the name {key} but have {names}; select one with "
            "data.energy_key, or set training.energy_weight: 0 to learn no energies"
        )
    return unread


def fill_from_data(options: Settings, given: dict[str, Any], statistics: Statistics) -> Settings:
    """Averages of the training structures, for those options of the model that the configuration does not give."""
    averages: dict[str, Any] = {
        "avg_degree": max(statistics.average_degree, 1.0),
        "avg_n_atoms": statistics.average_atoms,
    }
    known = {option.name for option in fields(options)}
    return replace(options, **{name: averages[name] for name in averages if name in known and name not in given})


def notes(data: TrainingData) -> list[str]:
    """Notes for the user about the data, line by line."""
    lines, statistics = [], data.statistics
    lines += [note for note in (data.unread.note(), data.crystals) if note] + data.units
    if data.unlearned:
        names = " ".join(data.unlearned)
        lines.append(
            f"Warning: no training structure has {names} beside another atom, so energies and forces of structures "
            "with it are random; add such structures or leave it out of model.elements."
        )
    for reason, count in data.left_out.items():
        lines.append(f"Note: {count} structures in the files are left out: {reason}.")
    if statistics.isolated and statistics.references_from == "least squares":
        found = " ".join(statistics.isolated)
        missing = " ".join(e for e in data.model_config.elements if e not in statistics.isolated)
        why = f", none of {missing}" if missing else ""
        lines.append(f"Note: isolated atoms of {found} were found{why}; they are left out and least squares is used.")
    if statistics.references_are_sums:
        lines.append(
            "Note: the compositions determine only a sum of the reference energies; energies of isolated atoms are "
            "arbitrary."
        )
    return lines
