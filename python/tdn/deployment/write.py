"""Writing an archive: rewrite, script, label, verify; a file that fails is removed."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tdn import schema
from tdn.data.graph import Graph
from tdn.deployment.deployed import DeployedModel
from tdn.deployment.label import make_label
from tdn.deployment.network import DeployedNetwork
from tdn.deployment.rewrite import deployable
from tdn.deployment.safetensors import Arrays, pack
from tdn.deployment.tabulate import has_kernels, no_tables, tabulation
from tdn.deployment.verify import Verdict, verify
from tdn.deployment.weights import archive_weights
from tdn.deployment.weights_record import label_fields
from tdn.errors import TDNError
from tdn.files import check_target
from tdn.model import TDN
from tdn.model.potential import Potential

#: Records that torch's writer adds itself.
WRITER_RECORDS = ("version", "byteorder", ".data/serialization_id")


def script(network: DeployedNetwork) -> torch.jit.ScriptModule:
    """The network as TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch 2.13 deprecates TorchScript as a whole
        return torch.jit.script(network)


def save(module: torch.jit.ScriptModule, label: dict[str, Any], path: Path, weights: Arrays | None = None) -> None:
    """Write module, label and the weights of the fused engine into one file; the label holds their names and hash.

    Args:
        module: the scripted network.
        label: gets the fields of the weights.
        path: the file.
        weights: from :func:`tdn.deployment.weights.archive_weights`; None if the fused engine cannot run the model.
    """
    record = None if weights is None else pack(weights)
    label |= label_fields(record, weights or ())
    extra = {schema.METADATA_RECORD: json.dumps(label, indent=1).encode()}
    if record is not None:
        extra[schema.WEIGHTS_RECORD] = record
    save_records(module, extra, path)


def save_network(network: DeployedNetwork, label: dict[str, Any], path: Path) -> None:
    """Write an archive of a network without verifying it, with weights of the fused engine if it has knots."""
    save(script(network), label, path, archive_weights(network) if network.n_knots else None)


def save_records(module: torch.jit.ScriptModule, extra: dict[str, bytes], path: Path) -> None:
    """Write a module and additional records, all stored, because C++ does not inflate compressed ones to verify them.

    The source positions that TorchScript adds are omitted, because they name folders.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.jit.save(module, buffer)
    copy_records(buffer.getvalue(), extra, path)


def copy_records(source: bytes, extra: dict[str, bytes], path: Path) -> None:
    """Write the module of a TorchScript file unchanged, with other additional records."""
    reader, writer = torch._C.PyTorchFileReader(io.BytesIO(source)), torch._C.PyTorchFileWriter(str(path))
    for name, content in extra.items():
        writer.write_record("extra/" + name, content, len(content))
    for name in reader.get_all_records():
        if not name.startswith("extra/") and not name.endswith(".debug_pkl") and name not in WRITER_RECORDS:
            content = reader.get_record(name)
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


def check_weights(model: Potential) -> None:
    """Refuse a model with weights that are not finite numbers."""
    for name, values in model.state_dict().items():
        if values.is_floating_point() and not values.isfinite().all():
            raise TDNError(
                f"the model's weight '{name}' holds a value that is not a finite number, nothing was written; deploy "
                "an earlier checkpoint or train the model again with a smaller learning rate"
            )


def write_archive(
    model: Potential,
    path: str | Path,
    dtype: torch.dtype | None = None,
    *,
    name: str | None = None,
    training: dict[str, Any] | None = None,
    structures: Sequence[Graph] = (),
    overwrite: bool = False,
    tabulate: bool = True,
) -> list[Verdict]:
    """Deploy a model.

    Args:
        model: trained model.
        path: the archive, by convention ``NAME.tdn.pt``.
        dtype: precision of the archive; the model's when None.
        name: name in the label; the file's name when None.
        training: summary of the training for the label, plain types.
        structures: real structures to verify on, besides random ones.
        overwrite: replace an existing file.
        tabulate: let the fused engine use tables of the radial networks; if False, the networks themselves are run.

    Returns:
        The verdicts, all passed; the label holds them too.

    Raises:
        TDNError: the model is not a TDN, the file exists, or a check failed (then nothing is left at ``path``).
    """
    if not isinstance(model, TDN):
        raise TDNError(
            f"the model is of the architecture {model.config.architecture}, which has no archive: LAMMPS runs tdn "
            "models only; use it in Python with tdn.load or TDNCalculator"
        )
    check_weights(model)
    path = check_target(path, overwrite)
    dtype = dtype or model.dtype
    label = make_label(model, dtype, name or path.name.split(".")[0], training or {})
    part = path.with_name(path.name + ".part")
    try:
        network = deployable(model, dtype)
        tables = tabulation(network) if tabulate and has_kernels(model.config) else None
        label["tabulation"] = tables.label() if tables else None
        network.n_knots = tables.n_knots if tables else 0
        module, weights = script(network), archive_weights(network) if network.n_knots else None
        save(module, label, part, weights)
        verdicts = tables.verdicts() if tables else no_tables(model.config)
        verdicts += verify(model, DeployedModel(part), structures)
        failed = [v for v in verdicts if not v.passed]
        if failed:
            raise TDNError(
                f"the deployed model fails its check '{failed[0].name}' ({failed[0].value:.1e}, limit "
                f"{failed[0].limit:.1e}), nothing was written; deploy in float64 or train the model further"
            )
        label["verification"] = {v.name: v.value for v in verdicts}
        label["equivariance_error"] = next(v.value for v in verdicts if "rotation" in v.name)
        save(module, label, part, weights)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return verdicts
