"""The label of an archive: complete and true, and read before anything else so that a wrong file is one sentence."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from models import random_model

import tdn
from tdn import deploy, schema
from tdn.checkpoints import save_model
from tdn.cli import main
from tdn.deployment import DeployedModel, read_label, write_archive
from tdn.deployment.write import save_records
from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig


@pytest.fixture(scope="module")
def model() -> TDN:
    return random_model(("H", "O"), n_channels=8)


@pytest.fixture(scope="module")
def archive_file(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "water.tdn.pt"
    write_archive(model, path)
    return path


class TestLabel:
    def test_every_required_field(self, archive_file):
        label = read_label(archive_file)
        assert set(schema.REQUIRED_FIELDS) <= set(label)
        assert json.loads(json.dumps(label)) == label

    def test_values(self, archive_file, model):
        label = read_label(archive_file)
        assert label[schema.FORMAT] == "tdn"
        assert label[schema.VERSION] == schema.FORMAT_VERSION
        assert label[schema.MODEL_NAME] == "water"
        assert label[schema.ELEMENTS] == ["H", "O"]
        assert label[schema.CUTOFF] == model.cutoff
        assert label[schema.LAYER_WIDTHS] == [4 * 8] * label[schema.N_LAYERS]
        assert (label[schema.FORCE_KINDS], label[schema.FORCE_WIDTH]) == (["gradient"], 0)
        assert (label[schema.DTYPE], label[schema.SMOOTH_CUTOFF]) == ("float64", True)
        assert (label[schema.LENGTH_UNIT], label[schema.ENERGY_UNIT]) == ("angstrom", "eV")
        assert label[schema.ENERGY_CONVENTION] == "extensive"
        assert "2507.01131" in label[schema.CITATION]
        assert label["cp_error"] == 0.0
        assert label["n_parameters"] == sum(p.numel() for p in model.parameters())
        assert ModelConfig.from_dict(label["model_config"]) == model.config
        assert label["verification"]
        assert label["equivariance_error"] < 1e-9

    def test_widths_are_those_of_the_rows(self, archive_file):
        archive = DeployedModel(archive_file)
        width, components = archive.label[schema.LAYER_WIDTHS][0], 4
        x = torch.zeros(5, components, width // components, dtype=torch.float64)
        for layer in archive.module.layers.children():
            assert layer.send(x).shape == (5, width)

    def test_checkpoint_gives_the_training_summary(self, model, tmp_path):
        save_model(
            model, tmp_path / "m.ckpt", {"min_distance": 0.93, "min_distances": {"H-O": 0.93}, "dtype": "float64"}
        )
        verdicts = deploy(tmp_path / "m.ckpt", tmp_path / "other.tdn.pt")
        label = read_label(tmp_path / "other.tdn.pt")
        assert label[schema.MODEL_NAME] == "other"
        assert label[schema.MIN_DISTANCE] == 0.93
        assert label[schema.MIN_DISTANCES] == {"H-O": 0.93}
        assert label["training"]["dtype"] == "float64"
        assert set(label["verification"]) == {verdict.name for verdict in verdicts}

    def test_hash_follows_the_weights(self, archive_file, model, tmp_path):
        write_archive(model, tmp_path / "same.tdn.pt")
        write_archive(random_model(("H", "O"), seed=1, n_channels=8), tmp_path / "other.tdn.pt")
        hashes = [read_label(path)["weights_hash"] for path in (archive_file, *sorted(tmp_path.iterdir()))]
        other, same = hashes[1:]
        assert hashes[0] == same != other


class TestReading:
    def rewritten(self, source: Path, target: Path, label: str) -> Path:
        """The same archive with another label."""
        module = torch.jit.load(str(source))
        save_records(module, {schema.METADATA_RECORD: label.encode()}, target)
        return target

    def changed(self, source: Path, target: Path, **fields) -> Path:
        return self.rewritten(source, target, json.dumps(read_label(source) | fields))

    def test_missing_file(self, tmp_path):
        with pytest.raises(TDNError, match="does not exist; make one with 'tdn deploy"):
            read_label(tmp_path / "none.tdn.pt")
        with pytest.raises(TDNError, match="does not exist; give a checkpoint or an archive"):
            tdn.load(tmp_path / "none.tdn.pt")

    @pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 nothing more"])
    def test_not_an_archive(self, tmp_path, content):
        (tmp_path / "a.tdn.pt").write_bytes(content)
        with pytest.raises(TDNError, match=r"is not a complete archive .*; copy it again or deploy it again"):
            read_label(tmp_path / "a.tdn.pt")
        with pytest.raises(TDNError, match=r"a\.tdn\.pt' cannot be read"):
            tdn.load(tmp_path / "a.tdn.pt")

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
    def test_truncated(self, archive_file, tmp_path, part):
        content = archive_file.read_bytes()
        (tmp_path / "a.tdn.pt").write_bytes(content[: int(part * len(content))])
        with pytest.raises(TDNError, match="is not a complete archive"):
            read_label(tmp_path / "a.tdn.pt")

    def test_damaged_label(self, archive_file, tmp_path):
        content = archive_file.read_bytes().replace(b'"format_version"', b'"format_versiom"')
        (tmp_path / "a.tdn.pt").write_bytes(content)
        with pytest.raises(TDNError, match="is not a complete archive"):
            read_label(tmp_path / "a.tdn.pt")

    def test_checkpoint_instead_of_archive(self, model, tmp_path):
        save_model(model, tmp_path / "m.ckpt", {})
        with pytest.raises(TDNError, match=r"has no record metadata\.json; make an archive with 'tdn deploy'"):
            read_label(tmp_path / "m.ckpt")

    @pytest.mark.parametrize("text", ["{not json", "[1, 2]", '"text"'])
    def test_label_that_is_no_mapping(self, archive_file, tmp_path, text):
        path = self.rewritten(archive_file, tmp_path / "a.tdn.pt", text)
        with pytest.raises(TDNError, match=r"label of '.*a\.tdn\.pt' .*; deploy"):
            read_label(path)

    def test_inspect_prints_no_control_characters(self, archive_file, tmp_path, capsys):
        orders = "".join(map(chr, [*range(32), 127])) + "\x1b[2J"
        fields = {
            schema.VERSION: 1,
            schema.CITATION: orders,
            "created": orders.replace("\n", ""),
            f"a{orders}": {orders: orders},
        }
        path = self.changed(archive_file, tmp_path / "a.tdn.pt", **fields)
        assert main(["inspect", str(path)]) == 0
        out = capsys.readouterr().out
        assert "model_name: water\n" in out and r"\x1b[2J" in out
        assert all(line.isprintable() for line in out.split("\n"))

    @pytest.mark.parametrize("version", [3, 99, "1", None])
    def test_newer_format(self, archive_file, tmp_path, version):
        path = self.changed(archive_file, tmp_path / "a.tdn.pt", format_version=version)
        with pytest.raises(TDNError, match=f"has archive format {version!r} and this tdn reads up to 2; update tdn"):
            tdn.load(path)

    def test_other_format(self, archive_file, tmp_path):
        path = self.changed(archive_file, tmp_path / "a.tdn.pt", format="other")
        with pytest.raises(TDNError, match="has format 'other', not 'tdn'; deploy it again"):
            read_label(path)

    @pytest.mark.parametrize("name", schema.REQUIRED_FIELDS[2:])
    def test_incomplete_label(self, archive_file, tmp_path, name):
        label = read_label(archive_file)
        del label[name]
        path = self.rewritten(archive_file, tmp_path / "a.tdn.pt", json.dumps(label))
        with pytest.raises(TDNError, match=f"lacks {name}; deploy the model again"):
            read_label(path)

    @pytest.mark.parametrize("factor", [0.8, 1.2, 1.0 + 1e-4])
    def test_label_with_another_cutoff_than_the_weights(self, archive_file, tmp_path, factor):
        """Edges up to another cutoff would give other energies."""
        label, path = read_label(archive_file), tmp_path / "a.tdn.pt"
        label[schema.CUTOFF] *= factor
        with zipfile.ZipFile(archive_file) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, json.dumps(label) if name.endswith(schema.METADATA_RECORD) else old.read(name))
        with pytest.raises(TDNError, match=r"has weights that cannot be read .cutoff is .*, but the label says"):
            tdn.load(path)

    def test_archive_in_another_place(self, archive_file, model, tmp_path):
        shutil.copy(archive_file, tmp_path / "renamed")
        assert tdn.load(str(tmp_path / "renamed")).elements == model.elements
