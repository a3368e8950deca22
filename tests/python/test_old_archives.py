"""Archives of format 1 run, and ``tdn upgrade`` writes them in the present format with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tdn import schema
from tdn.cli import main
from tdn.deployment import DeployedModel, read_label
from tdn.deployment.archive import read_archive
from tdn.deployment.upgrade import upgrade
from tdn.deployment.verify import cluster_graph
from tdn.deployment.write import copy_records
from tdn.errors import TDNError

pytest.importorskip("tdn._core")

#: Written by the last version of format 1, with what its engines made of a cluster.
OLD = Path(__file__).parents[1] / "archives" / "old" / "format_1.tdn.pt"
EXPECTED = json.loads(OLD.with_name("format_1.json").read_text())
#: float32, rounded in another order by other processors.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upgraded") / "new.tdn.pt"
    upgrade(OLD, path)
    return path


def check_numbers(path: Path, engine: str) -> None:
    model = DeployedModel(path, engine=engine)
    assert model.fused == (engine == "fused")
    positions = torch.tensor(EXPECTED["positions"], dtype=torch.float64)
    graph = cluster_graph(positions, torch.tensor(EXPECTED["species"]), model.cutoff)
    found = model(graph.to(dtype=model.dtype), forces="both")
    for name, values in EXPECTED[engine].items():
        value = getattr(found, name).double()
        torch.testing.assert_close(value, torch.tensor(values, dtype=torch.float64), **TOLERANCE)


def rewritten(source: Path, target: Path, weights: bytes | None = None, **fields: Any) -> Path:
    """The same archive with changes in its label, or other weights."""
    label, records = read_archive(source)
    extra = {schema.METADATA_RECORD: json.dumps(label | fields).encode()}
    weights = records.get("extra/" + schema.WEIGHTS_RECORD) if weights is None else weights
    if weights is not None:
        extra[schema.WEIGHTS_RECORD] = weights
    copy_records(source.read_bytes(), extra, target)
    return target


def sentences(path: Path) -> tuple[str, str]:
    """What Python and the engine say of an archive that both refuse."""
    from tdn import _core

    with pytest.raises(TDNError) as python:
        read_label(path)
    with pytest.raises(TDNError) as engine:
        _core.Evaluator(str(path))
    return str(python.value), str(engine.value)


@pytest.mark.parametrize("engine", ["fused", "script"])
def test_format_1_runs(engine: str):
    assert read_label(OLD)[schema.VERSION] == 1
    check_numbers(OLD, engine)


@pytest.mark.parametrize("engine", ["fused", "script"])
def test_upgraded_gives_the_same(upgraded: Path, engine: str):
    label = read_label(upgraded)
    assert label[schema.VERSION] == schema.FORMAT_VERSION
    old = read_label(OLD)
    assert {name: label[name] for name in old if name != schema.VERSION} == {
        name: value for name, value in old.items() if name != schema.VERSION
    }
    check_numbers(upgraded, engine)


def test_command(upgraded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "new.tdn.pt"
    assert main(["upgrade", str(OLD), "-o", str(target)]) == 0
    assert f"wrote {target}" in capsys.readouterr().out
    assert main(["upgrade", str(OLD), "-o", str(target)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["upgrade", str(upgraded), "-o", str(tmp_path / "again.tdn.pt")]) == 1
    assert "has archive format 2 already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["new.tdn.pt"]


def test_newer_format_says_update(upgraded: Path, tmp_path: Path):
    path = rewritten(upgraded, tmp_path / "a.tdn.pt", format_version=3)
    python, engine = sentences(path)
    assert "has archive format 3 and this tdn reads up to 2; update tdn" in python
    assert "has archive format 3 but this version reads up to 2: update the package tdn" in engine


def test_unknown_weight_says_update(upgraded: Path, tmp_path: Path):
    names = [*read_label(upgraded)[schema.WEIGHT_NAMES], "layers.0.\x1b[31mnew"]
    python, engine = sentences(rewritten(upgraded, tmp_path / "a.tdn.pt", weight_names=names))
    assert "has a weight 'layers.0.\\x1b[31mnew' that this tdn does not know; update tdn" in python
    assert "has a weight 'layers.0.\\x1b[31mnew' that this version does not know: update the package tdn" in engine


def test_other_weights_than_the_labels(upgraded: Path, tmp_path: Path):
    weights = bytearray(read_archive(upgraded)[1]["extra/" + schema.WEIGHTS_RECORD])
    weights[-1] ^= 1
    python, engine = sentences(rewritten(upgraded, tmp_path / "a.tdn.pt", bytes(weights)))
    assert "are not those that its label was written for" in python
    assert "has weights other than those its label was written for" in engine


@pytest.mark.parametrize("change", ["missing", "known but not of this model"])
def test_weights_that_do_not_fit(upgraded: Path, tmp_path: Path, change: str):
    """Hash and names are right: what remains is found by the engine, which must read every weight."""
    import hashlib

    from tdn import _core
    from tdn.deployment.safetensors import pack, unpack

    weights = unpack(read_archive(upgraded)[1]["extra/" + schema.WEIGHTS_RECORD])
    if change == "missing":
        del weights["layers.0.send.bias"]
    else:
        weights["layers.7.send.bias"] = weights["layers.0.send.bias"]
    record = pack(weights)
    fields = {schema.WEIGHTS_SHA256: hashlib.sha256(record).hexdigest(), schema.WEIGHT_NAMES: sorted(weights)}
    path = rewritten(upgraded, tmp_path / "a.tdn.pt", record, **fields)
    sentence = (
        "has no weight 'layers.0.send.bias'" if change == "missing" else "a weight 'layers.7.send.bias' that this"
    )
    with pytest.raises(TDNError, match=sentence):
        _core.Evaluator(str(path), engine="fused")
