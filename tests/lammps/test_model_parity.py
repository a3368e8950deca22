"""TDN models through LAMMPS against the Python model on the same structure: 1, 2 and 4 ranks, both precisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structures
import torch
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list
from lammps_runner import run, setup, single_point, write_data
from models import elements_of, graph_of, random_model
from parity import assert_same
from tolerances import LAMMPS

import tdn
from tdn.deployment import read_label, write_archive
from tdn.deployment.label import weights_hash
from tdn.interop import load_airs
from tdn.model import TDN

WATER = Path(__file__).parents[2] / "examples" / "water"

CASES = {
    "water": structures.water,
    "silicon_triclinic": structures.silicon_triclinic,
    "small_cell": structures.small_cell,
    "slab": structures.slab,
    "isolated_atoms": structures.isolated_atoms,
    "molecule": structures.ethanol,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def deployed(folder):
    """Model and archive for a set of elements and a precision, made once."""
    made: dict[tuple, tuple[TDN, Path]] = {}

    def make(elements: tuple[str, ...], dtype: str) -> tuple[TDN, Path]:
        if (elements, dtype) not in made:
            model = random_model(elements, n_layers=3, n_channels=16)
            model.set_references([-10.0 * (k + 1) for k in range(len(elements))], 0.8)
            path = folder / f"{''.join(elements)}-{dtype}.tdn.pt"
            write_archive(model, path, getattr(torch, dtype))
            made[elements, dtype] = model, path
        return made[elements, dtype]

    return make


@pytest.mark.parametrize("n_ranks", (1, 2, 4))
@pytest.mark.parametrize("name", CASES)
def test_float64(name, n_ranks, deployed, tmp_path):
    atoms = CASES[name]()
    model, archive = deployed(elements_of(atoms), "float64")
    found = single_point(atoms, archive, list(model.elements), tmp_path, n_ranks)
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["tables"])


@pytest.mark.parametrize("n_ranks", (1, 4))
@pytest.mark.parametrize("name", ("water", "slab", "molecule"))
def test_float64_of_the_script_engine(name, n_ranks, deployed, tmp_path):
    atoms = CASES[name]()
    model, archive = deployed(elements_of(atoms), "float64")
    style = "tdn device cpu engine script"
    found = single_point(atoms, archive, list(model.elements), tmp_path, n_ranks, style=style)
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["float64"])


@pytest.mark.parametrize("n_ranks", (1, 2, 4))
@pytest.mark.parametrize("name", ("water", "small_cell"))
def test_float32(name, n_ranks, deployed, tmp_path):
    atoms = CASES[name]()
    model, archive = deployed(elements_of(atoms), "float32")
    found = single_point(atoms, archive, list(model.elements), tmp_path, n_ranks)
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["float32"])


@pytest.mark.parametrize(("options", "engine"), (({"paths": "o3"}, "fused"), ({"paths": "so3"}, "script")))
def test_separate_path_weights(options, engine, tmp_path):
    """A radial weight for each path; the fused engine knows those of O(3)."""
    atoms = structures.water(2)
    model = random_model(elements_of(atoms), l_max=2, path_weights="separate", **options)
    write_archive(model, tmp_path / "model.tdn.pt", torch.float64)
    found = single_point(atoms, tmp_path / "model.tdn.pt", list(model.elements), tmp_path, 2)
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["tables"])
    assert f"engine {engine}" in found.run.output


@pytest.mark.parametrize("n_ranks", (1, 2, 4))
@pytest.mark.parametrize("engine", ("fused", "script"))
@pytest.mark.parametrize("attention", ("sigmoid", "softmax"))
@pytest.mark.parametrize("norm", ("smooth", "none"))
def test_attention_and_norms(norm, attention, engine, n_ranks, tmp_path):
    """On four ranks in a row some have no atoms."""
    atoms = structures.slab()
    model = random_model(elements_of(atoms), l_max=2, attention=attention, norm=norm)
    write_archive(model, tmp_path / "model.tdn.pt", torch.float64)
    style = f"tdn device cpu engine {engine}"
    commands = f"processors 1 1 {n_ranks}"
    found = single_point(
        atoms, tmp_path / "model.tdn.pt", list(model.elements), tmp_path, n_ranks, style=style, commands=commands
    )
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["tables"])
    assert f"engine {engine}" in found.run.output


def test_slab_really_has_an_empty_rank(deployed, tmp_path):
    """Guards the slab case: with four ranks along z, most have no atoms, and the numbers stay."""
    atoms = structures.slab()
    model, archive = deployed(("Cu",), "float64")
    found = single_point(atoms, archive, ["Cu"], tmp_path, 4, commands="processors 1 1 4")
    assert_same(found, model(graph_of(model, atoms)), LAMMPS["float64"])
    histogram = next(line for line in found.run.output.splitlines() if line.startswith("Nlocal:"))
    assert histogram.split("min")[0].split()[-1] == "0", histogram


def test_precision_keyword_converts_an_archive(deployed, tmp_path):
    """A float32 archive run in float64: rounded weights, exact arithmetic; reference energies keep their digits."""
    atoms = structures.water(2)
    model, archive = deployed(elements_of(atoms), "float32")
    found = single_point(atoms, archive, list(model.elements), tmp_path, style="tdn precision float64")
    rounded = model.in_dtype(torch.float32).in_dtype(torch.float64)
    expected = rounded(graph_of(rounded, atoms))
    assert abs(found.forces - expected.forces.numpy()).max() < 1e-6
    assert abs(found.atom_energies - expected.atom_energies.numpy()).max() < 1e-6


def test_forces_by_central_differences_through_lammps(deployed, tmp_path):
    """24 atoms on 2 ranks: a wrong adjoint of the exchange shows at once."""
    atoms = structures.water(2)
    model, archive = deployed(elements_of(atoms), "float64")
    rotation = write_data(atoms, list(model.elements), tmp_path / "data.test")
    assert np.allclose(rotation, np.eye(3))
    step, moves = 1e-4, [(1, "x"), (9, "y"), (17, "z"), (24, "x")]
    text = (
        setup(atoms, commands="atom_modify map array")
        + f"pair_style tdn\npair_coeff * * {archive} {' '.join(model.elements)}\nrun 0\n"
    )
    text += "".join(
        f'variable f{k} equal f{axis}[{atom}]\nprint "force{k} = $(v_f{k}:%.17g)"\n'
        for k, (atom, axis) in enumerate(moves)
    )
    for k, (atom, axis) in enumerate(moves):
        text += f"group g{k} id {atom}\n"
        for side, shift in (("up", step), ("down", -2 * step)):
            d = " ".join(str(shift if a == axis else 0.0) for a in "xyz")
            text += f'displace_atoms g{k} move {d} units box\nrun 0\nprint "{side}{k} = $(pe:%.17g)"\n'
        d = " ".join(str(step if a == axis else 0.0) for a in "xyz")
        text += f"displace_atoms g{k} move {d} units box\n"
    done = run(text, 2, tmp_path)
    assert done.returncode == 0, done.output
    for k in range(len(moves)):
        slope = -(done.values(f"up{k}") - done.values(f"down{k}")) / (2 * step)
        assert slope == pytest.approx(done.values(f"force{k}"), abs=1e-7)


def test_shipped_water_model_in_float32(tmp_path):
    """Real forces of several eV/angstrom: rounding stays below 5e-5 eV/angstrom."""
    atoms = read(WATER / "data.water", format="lammps-data", atom_style="atomic", sort_by_id=True)
    model = tdn.load(WATER / "water.ckpt").in_dtype(torch.float64)
    expected = model(graph_of(model, atoms))
    found = single_point(atoms, WATER / "water.tdn.pt", ["O", "H"], tmp_path, 2)
    assert expected.forces.abs().max() > 2
    assert abs(found.forces - expected.forces.numpy()).max() <= LAMMPS["float32"]["forces"]
    assert abs(found.energy - expected.energy.item()) <= LAMMPS["float32"]["energy"] * len(atoms)


def test_shipped_files_belong_together():
    """The archive was made from the checkpoint, and both are small."""
    model = tdn.load(WATER / "water.ckpt")
    assert weights_hash(model) == read_label(WATER / "water.tdn.pt")["weights_hash"]
    assert sum((WATER / name).stat().st_size for name in ("water.ckpt", "water.tdn.pt")) < 5e6


def test_shipped_start_is_inside_of_the_training_data():
    """No pair is closer than the closest one the model has seen, within a few percent."""
    atoms = read(WATER / "data.water", format="lammps-data", atom_style="atomic")
    distances = neighbor_list("d", atoms, 2.0)
    assert distances.min() > 0.95 * read_label(WATER / "water.tdn.pt")["min_distance"]
    assert neighbor_list("d", atoms, {("H", "H"): 1.2}).size == 0


@pytest.mark.parametrize(("engine", "limit"), [("script", 1e-10), ("fused", 1e-6)])
@pytest.mark.parametrize("forces", ("direct", "gradient"))
@pytest.mark.parametrize("tag", ("tdn_C32_L1_N2", "tdn_C128_L1_N4"))
def test_published_weights_in_lammps_meet_the_published_numbers(
    tag, forces, engine, limit, shared_data, folder, tmp_path
):
    """Each molecule alone in a large non-periodic box, on 2 ranks: energy and forces of the published code."""
    source = shared_data / "official-tdn"
    arrays = np.load(source / f"{tag}.io.npz")
    archive = folder / f"{tag}-{forces}.tdn.pt"
    if not archive.exists():
        write_archive(load_airs(source / f"{tag}.state_dict.pt", forces=forces), archive)
    for molecule in range(8):
        mask = arrays["batch"] == molecule
        atoms = Atoms(numbers=arrays["Z"][mask], positions=arrays["pos"][mask])
        elements = sorted(set(atoms.get_chemical_symbols()))
        found = single_point(atoms, archive, elements, tmp_path, 2, style=f"tdn device cpu engine {engine}")
        energy, expected = arrays["energy"][molecule], arrays[f"forces_{forces}"][mask]
        assert abs(found.energy - energy) <= limit * abs(energy)
        assert abs(found.forces - expected).max() <= limit * abs(arrays[f"forces_{forces}"]).max()
        warnings = [line for line in found.run.output.splitlines() if "per-atom energy" in line]
        assert len(warnings) == 1 and "no smooth cutoff" in warnings[0]
