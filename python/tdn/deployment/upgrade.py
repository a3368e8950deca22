"""``tdn upgrade``: converts an archive of format 1 to format 2 without changing its module."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch

from tdn import schema
from tdn.deployment.archive import read_archive
from tdn.deployment.deployed import DeployedModel
from tdn.deployment.safetensors import Arrays, pack
from tdn.deployment.verify import Verdict, largest, random_graph
from tdn.deployment.weights import as_arrays, radial_weights
from tdn.deployment.weights_record import label_fields
from tdn.deployment.write import copy_records
from tdn.errors import TDNError
from tdn.files import check_target
from tdn.model.prediction import Prediction

#: Largest difference of new from old results, relative to the largest value: other loops make the tables.
AGREEMENT = {torch.float64: 1e-10, torch.float32: 1e-5}
SEEDS = range(4)
#: Numbers that modules older than the options do not have.
BEFORE = {"norm_divides": 1.0, "sigmoid_attention": 0.0}


def upgrade(source: str | Path, path: str | Path, overwrite: bool = False) -> list[Verdict]:
    """Write an archive of the current format with the model of an older one.

    Args:
        source: the older archive.
        path: the new one.
        overwrite: replace an existing file.

    Returns:
        The verdicts, all passed.

    Raises:
        TDNError: the source is not an archive of an older format, the file exists, or the new archive gives other
            results.
    """
    path = check_target(path, overwrite)
    label, _ = read_archive(source)
    if label[schema.VERSION] == schema.FORMAT_VERSION:
        raise TDNError(f"'{source}' has archive format {schema.FORMAT_VERSION} already; use it as it is")
    old = DeployedModel(source)
    weights = _weights_of(old)
    record = None if weights is None else pack(weights)
    label |= {schema.VERSION: schema.FORMAT_VERSION, **label_fields(record, weights or ())}
    extra = {schema.METADATA_RECORD: json.dumps(label, indent=1).encode()}
    if record is not None:
        extra[schema.WEIGHTS_RECORD] = record
    part = path.with_name(path.name + ".part")
    try:
        copy_records(Path(source).read_bytes(), extra, part)
        verdicts = compare(old, DeployedModel(part))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return verdicts


def _weights_of(archive: DeployedModel) -> Arrays | None:
    """The weights of the fused engine from an old module, None if the engine cannot run the model."""
    module = archive.module
    if not getattr(module, schema.N_KNOTS, 0):
        return None
    wide: Any = copy.deepcopy(module).to(torch.float64)
    weights = {name: w for name, w in wide.fused_weights(torch.zeros(1, dtype=torch.int64)).items() if w.dim() < 4}
    network = wide.embedding.radial.network
    embedding = network.pair_embedding
    weights |= radial_weights(wide.state_dict(), embedding is not None and embedding.per_pair)
    numbers = BEFORE | {"radial.n_knots": module.n_knots, "radial.silu_scale": getattr(network, "silu_scale", 1.0)}
    weights = {name: torch.tensor(float(number), dtype=torch.float64) for name, number in numbers.items()} | weights
    return as_arrays(weights)


def compare(old: DeployedModel, new: DeployedModel) -> list[Verdict]:
    """Largest differences of atom energies and forces on random graphs, by the same engine.

    Raises:
        TDNError: they are larger than rounding explains, or another engine runs the new archive.
    """
    if old.fused != new.fused:
        raise TDNError(f"'{old.path}' cannot be upgraded (another engine would run it); deploy its checkpoint again")
    errors: dict[str, list[float]] = {}
    for seed in SEEDS:
        graph = random_graph(new, 12, seed).to(dtype=new.dtype)
        kind = "both" if len(new.force_kinds) > 1 else new.force_kinds[0]
        for name, error in differences(old(graph, forces=kind), new(graph, forces=kind)).items():
            errors.setdefault(f"{name}: new - old archive, relative", []).append(error)
    verdicts = [Verdict(name, largest(values), AGREEMENT[new.dtype]) for name, values in errors.items()]
    for verdict in verdicts:
        if not verdict.passed:
            raise TDNError(
                f"the new archive differs from '{old.path}' ({verdict.name} {verdict.value:.1e}, limit "
                f"{verdict.limit:.1e}), nothing was written; deploy its checkpoint again"
            )
    return verdicts


def differences(old: Prediction, new: Prediction) -> dict[str, float]:
    """Largest difference of each kind of result, relative to the largest value."""
    result = {}
    for name in ("atom_energies", "gradient_forces", "direct_forces"):
        before, after = getattr(old, name), getattr(new, name)
        if before is not None and after is not None:
            scale = max(float(before.abs().max()), torch.finfo(torch.float32).tiny)
            result[name.replace("_", " ")] = float((after - before).abs().max()) / scale
    return result
