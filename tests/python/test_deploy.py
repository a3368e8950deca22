"""Archives: the same numbers as the model they were made from, and nothing left behind when a check fails."""

from __future__ import annotations

import math

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from models import random_model
from structures import rattled, small_cell, water

import tdn
from tdn import schema
from tdn.architectures import default_dtype
from tdn.data import collate, graph_from_atoms
from tdn.deployment import DeployedModel, read_label, write_archive
from tdn.deployment.verify import AGREEMENT as VERIFY_AGREEMENT
from tdn.deployment.verify import Verdict, random_graph, table, verify
from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig

#: Largest difference relative to the largest value, by dtype of the archive; the fused engine has radial tables.
AGREEMENT = {torch.float64: 1e-10, torch.float32: 1e-4}
TABULATED_AGREEMENT = {torch.float64: 1e-6, torch.float32: 1e-4}
REFERENCES = [-13.6, -75.0]


@pytest.fixture(scope="module")
def model() -> TDN:
    model = random_model(("H", "O"), l_max=2)
    model.set_references(REFERENCES, 0.7)
    return model


@pytest.fixture(scope="module", params=["float64-fused", "float64-script", "float32-fused", "float32-script"])
def archive(request, model, tmp_path_factory) -> DeployedModel:
    path = tmp_path_factory.mktemp("archive") / "water.tdn.pt"
    dtype, engine = request.param.split("-")
    write_archive(model, path, getattr(torch, dtype))
    loaded = tdn.load(path)
    assert isinstance(loaded, DeployedModel)
    assert loaded.fused
    return loaded if engine == "fused" else DeployedModel(path, engine="script")


def largest(tensor) -> float:
    return float(tensor.abs().max())


def agreement(archive: DeployedModel) -> float:
    return (TABULATED_AGREEMENT if archive.fused else AGREEMENT)[archive.dtype]


def assert_agrees(archive, model, graph, stress=False):
    """Energies are compared above the references, which would hide a relative error."""
    expected = model(graph, stress=stress)
    found = archive(graph.to(dtype=archive.dtype), stress=stress)
    limit = agreement(archive)
    bound = expected.atom_energies - torch.tensor(REFERENCES, dtype=torch.float64)[graph.species]
    assert found.energy.dtype == torch.float64
    assert found.forces.dtype == archive.dtype
    assert largest(found.atom_energies - expected.atom_energies) <= limit * max(largest(bound), 1e-12)
    names = ("forces", "virial", "stress") if stress else ("forces", "virial")
    for name in names:
        a, b = getattr(found, name), getattr(expected, name)
        assert largest(a - b) <= limit * max(largest(b), 1e-3), name  # forces of a crystal cancel


class TestAgreement:
    @pytest.mark.parametrize("name", ["H2O", "H2O2"])
    def test_molecules(self, archive, model, name):
        graph = graph_from_atoms(rattled(molecule(name)), model.elements, model.cutoff)
        assert_agrees(archive, model, graph)

    def test_periodic_liquid_with_stress(self, archive, model):
        graph = graph_from_atoms(water(2), model.elements, model.cutoff)
        assert_agrees(archive, model, graph, stress=True)

    def test_cell_smaller_than_the_cutoff(self, archive, model):
        atoms = small_cell()
        atoms.symbols[:] = ["O", "H"]
        assert_agrees(archive, model, graph_from_atoms(atoms, model.elements, model.cutoff), stress=True)

    def test_several_structures_at_once(self, archive, model):
        structures = [molecule("H2O"), Atoms("O"), water(1), Atoms(), molecule("H2")]
        parts = [graph_from_atoms(atoms, model.elements, model.cutoff) for atoms in structures]
        assert_agrees(archive, model, collate(parts), stress=True)

    def test_isolated_atoms_have_their_reference_energy(self, archive):
        atoms = Atoms("OHH", [[0, 0, 0], [30, 0, 0], [0, 30, 0]])
        result = archive(graph_from_atoms(atoms, archive.elements, archive.cutoff).to(dtype=archive.dtype))
        expected = torch.tensor([REFERENCES[1], REFERENCES[0], REFERENCES[0]], dtype=torch.float64)
        torch.testing.assert_close(result.atom_energies, expected, rtol=0.0, atol=agreement(archive))
        assert not result.forces.any()

    def test_no_atoms(self, archive):
        result = archive(graph_from_atoms(Atoms(), archive.elements, archive.cutoff).to(dtype=archive.dtype))
        assert result.energy.tolist() == [0.0]
        assert result.forces.shape == (0, 3)
        assert not result.virial.any()

    @pytest.mark.parametrize("options", [{"l_max": 0}, {"l_max": 1, "cp_rank": 6}, {"l_max": 3, "n_layers": 1}])
    def test_other_models(self, tmp_path, options):
        model = random_model(("H", "O"), n_channels=8, **options)
        model.set_references(REFERENCES, 1.0)
        write_archive(model, tmp_path / "a.tdn.pt")
        assert_agrees(DeployedModel(tmp_path / "a.tdn.pt"), model, graph_from_atoms(water(1), ("H", "O"), 4.5))

    def test_direct_forces_of_the_published_setting(self, tmp_path):
        torch.manual_seed(1)
        with default_dtype("float64"):
            model = TDN(ModelConfig.paper(("H", "O"), n_channels=8, n_layers=1, n_radial=8, n_heads=2)).eval()
        write_archive(model, tmp_path / "a.tdn.pt")
        archive = DeployedModel(tmp_path / "a.tdn.pt")
        graph = graph_from_atoms(rattled(molecule("H2O")), model.elements, model.cutoff)
        expected, found = model(graph, forces="both"), archive(graph, forces="both")
        for name in ("atom_energies", "gradient_forces", "direct_forces"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-8)
        assert torch.equal(archive(graph).forces, found.direct_forces)
        assert read_label(tmp_path / "a.tdn.pt")[schema.ENERGY_CONVENTION] == "per_atom"

    def test_direct_forces_without_a_head(self, archive):
        graph = graph_from_atoms(Atoms("O"), archive.elements, archive.cutoff).to(dtype=archive.dtype)
        with pytest.raises(TDNError, match="no head for direct forces; use forces='gradient'"):
            archive(graph, forces="direct")


@pytest.fixture(scope="module")
def small() -> TDN:
    return random_model(("H", "O"), n_channels=8, n_layers=1)


@pytest.fixture(scope="module")
def steep() -> TDN:
    model = random_model(("H", "O"), l_max=2, n_layers=3)
    model.set_references(REFERENCES, 0.7)
    with torch.no_grad():
        for layer in model.network.layers:
            layer.attention.out.weight.mul_(3000.0)
    return model


class TestIllConditioned:
    """A model may make thousands of eV of a random cluster, where rounding alone changes much."""

    def test_rounding_is_no_fault_of_the_archive(self, steep, tmp_path):
        def relative(graph):
            expected = steep(graph).forces
            rounded = steep.in_dtype(torch.float32)(graph.to(dtype=torch.float32)).forces
            return largest(rounded - expected) / largest(expected)

        assert max(relative(random_graph(steep, 24, seed)) for seed in range(3)) > VERIFY_AGREEMENT[torch.float32]
        write_archive(steep, tmp_path / "a.tdn.pt", torch.float32)

    def test_another_model_is_refused(self, steep, tmp_path):
        write_archive(steep, tmp_path / "a.tdn.pt", torch.float32)
        other = TDN.from_state(steep.config, steep.state_dict())
        with torch.no_grad():
            other.network.layers[0].feed_forward.out.weight.mul_(1.02)
        failed = [v.name for v in verify(other, DeployedModel(tmp_path / "a.tdn.pt")) if not v.passed]
        assert any("forces: deployed" in name for name in failed)


class TestWriting:
    def test_existing_file_is_refused_and_left_alone(self, small, tmp_path):
        path = tmp_path / "a.tdn.pt"
        path.write_text("precious")
        with pytest.raises(TDNError, match=r"a\.tdn\.pt' already exists; choose another name or .*--overwrite"):
            write_archive(small, path)
        assert path.read_text() == "precious"
        write_archive(small, path, overwrite=True)
        assert read_label(path)[schema.MODEL_NAME] == "a"

    def test_missing_folder(self, small, tmp_path):
        with pytest.raises(TDNError, match="of the file to write does not exist; create it first"):
            write_archive(small, tmp_path / "none" / "a.tdn.pt")

    @pytest.mark.parametrize("value", [1.0, math.nan])
    def test_failed_check_leaves_nothing(self, small, tmp_path, monkeypatch, value):
        monkeypatch.setattr("tdn.deployment.write.verify", lambda *_: [Verdict("energy", value, 1e-9)])
        with pytest.raises(TDNError, match=r"fails its check 'energy'.* nothing was written; deploy in float64"):
            write_archive(small, tmp_path / "a.tdn.pt")
        assert list(tmp_path.iterdir()) == []

    def test_failed_check_keeps_the_old_archive(self, small, tmp_path, monkeypatch):
        write_archive(small, tmp_path / "a.tdn.pt")
        before = (tmp_path / "a.tdn.pt").read_bytes()
        monkeypatch.setattr("tdn.deployment.write.verify", lambda *_: [Verdict("energy", 1.0, 1e-9)])
        with pytest.raises(TDNError, match="fails its check"):
            write_archive(small, tmp_path / "a.tdn.pt", overwrite=True)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]

    def test_weights_that_are_not_numbers_fail(self, tmp_path):
        broken = random_model(("H", "O"), n_channels=8, n_layers=1)
        with torch.no_grad():
            broken.network.head_out.weight.fill_(math.nan)
        with pytest.raises(TDNError, match="not a finite number, nothing was written"):
            write_archive(broken, tmp_path / "a.tdn.pt")
        assert list(tmp_path.iterdir()) == []

    def test_interruption_leaves_nothing(self, small, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("tdn.deployment.write.verify", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_archive(small, tmp_path / "a.tdn.pt")
        assert list(tmp_path.iterdir()) == []

    def test_model_itself_is_not_changed(self, tmp_path):
        model = random_model(("H", "O"), n_channels=8, n_layers=1)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        write_archive(model, tmp_path / "a.tdn.pt", torch.float32)
        assert model.dtype == torch.float64
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(parameter.requires_grad for parameter in model.parameters())

    def test_real_structures_are_verified_too(self, small, tmp_path):
        crystal = graph_from_atoms(bulk("O", "fcc", a=4.0), small.elements, small.cutoff)
        verdicts = write_archive(small, tmp_path / "a.tdn.pt", structures=[crystal])
        assert all(verdict.passed for verdict in verdicts)

    def test_table(self):
        lines = table([Verdict("a", 1e-12, 1e-9), Verdict("b", 2.0, 1.0), Verdict("c", 0.1, math.inf)]).splitlines()
        assert [line.split()[-1] for line in lines] == ["verdict", "passed", "FAILED", "reported"]


def test_the_step_at_the_cutoff_is_seen(tmp_path):
    """The published form has no envelope: its step is reported, orders of magnitude above a smooth model's."""
    torch.manual_seed(0)
    options = {"n_channels": 8, "n_layers": 1, "direct_forces": False, "forces": "gradient"}
    rough = TDN(ModelConfig.paper(("H", "O"), **options)).double()
    smooth = TDN(ModelConfig(elements=("H", "O"), n_channels=8, n_layers=1)).double()
    steps = []
    for name, model in (("rough", rough), ("smooth", smooth)):
        verdicts = write_archive(model, tmp_path / f"{name}.tdn.pt")
        steps.append(next(v.value for v in verdicts if "cutoff" in v.name))
    assert steps[0] > 1e-4 and steps[1] < 1e-9, steps
