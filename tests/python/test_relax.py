"""Relaxed structures are minima: forces, stress, constraints and symmetry are checked with the calculator alone."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import structures
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from models import random_model
from scipy.optimize import minimize_scalar

from tdn.ase import NoStressError, TDNCalculator
from tdn.checkpoints import save_model
from tdn.cli import main
from tdn.errors import TDNError
from tdn.relaxation.relax import OPTIMIZERS, Settings, relax

EXAMPLES = Path(__file__).parents[2] / "examples"
SILICON, WATER = (EXAMPLES / name / f"{name}.tdn.pt" for name in ("silicon", "water"))


@pytest.fixture(scope="module")
def silicon() -> TDNCalculator:
    """The shipped archive, float32."""
    return TDNCalculator(SILICON)


@pytest.fixture(scope="module")
def water() -> TDNCalculator:
    """The shipped archive, float32."""
    return TDNCalculator(WATER)


@pytest.fixture(scope="module")
def exact() -> TDNCalculator:
    """Random weights, float64."""
    return TDNCalculator(random_model(("C", "H", "O")))


def disturbed() -> Atoms:
    """Eight atoms of silicon away from their sites, in a cell that is too small and sheared."""
    atoms = structures.rattled(bulk("Si", "diamond", a=5.3, cubic=True), 0.05)
    atoms.set_cell(atoms.cell.array @ [[1.0, 0.02, 0.0], [0.0, 1.01, 0.0], [0.0, 0.0, 0.99]], scale_atoms=True)
    return atoms


class TestRelax:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_molecule(self, water, optimizer):
        """One minimum, whatever leads to it."""
        start = structures.rattled(molecule("H2O"), 0.1)
        before = start.positions.copy()
        done = relax(start, water, Settings(optimizer, fmax=2e-3))
        assert done.converged and done.atoms.get_potential_energy() == water.get_potential_energy(done.atoms)
        assert np.linalg.norm(water.get_forces(done.atoms), axis=1).max() < 2e-3
        assert water.get_potential_energy(done.atoms) < water.get_potential_energy(start) - 0.05
        assert [done.atoms.get_distance(0, k) for k in (1, 2)] == pytest.approx([0.96, 0.96], abs=0.02)
        assert done.atoms.get_angle(1, 0, 2) == pytest.approx(104.5, abs=3)
        assert np.array_equal(start.positions, before) and start.calc is None

    def test_steps_tell_the_state(self, silicon):
        seen: list = []
        done = relax(disturbed(), silicon, Settings(fmax=0.02), lambda step, atoms: seen.append((step, atoms.copy())))
        assert [step.number for step, _ in seen] == list(range(len(done.steps)))
        for step, atoms in (seen[0], seen[-1]):
            assert step.energy == pytest.approx(silicon.get_potential_energy(atoms))
            assert step.fmax == pytest.approx(np.linalg.norm(silicon.get_forces(atoms), axis=1).max(), rel=1e-4)
            assert step.volume == pytest.approx(disturbed().get_volume())
            assert step.pressure == pytest.approx(-silicon.get_stress(atoms)[:3].mean() / units.GPa, rel=1e-4)
        assert done.steps[0].fmax > 0.02 > done.steps[-1].fmax

    @pytest.mark.parametrize("pressure", [0.0, 5.0, -3.0])
    def test_cell(self, silicon, pressure):
        done = relax(disturbed(), silicon, Settings(fmax=2e-3, cell=True, pressure=pressure))
        assert done.converged
        assert abs(silicon.get_forces(done.atoms)).max() < 2e-3
        expected = -pressure * np.array([1, 1, 1, 0, 0, 0])
        # virial per atom below fmax: V / N is 20 angstrom^3
        assert abs(silicon.get_stress(done.atoms) / units.GPa - expected).max() < 2e-3 / 19 / units.GPa

    def test_lattice_constant_is_that_of_the_equation_of_state(self, silicon):
        """Where the energy of cubes has its minimum, found without any stress."""

        def energy(a: float) -> float:
            return silicon.get_potential_energy(bulk("Si", "diamond", a=a, cubic=True))

        constants = np.linspace(5.35, 5.59, 13)
        fit = np.polynomial.Polynomial.fit(constants, [energy(a) for a in constants], 6)
        a = minimize_scalar(fit, bounds=(5.40, 5.54), method="bounded", options={"xatol": 1e-7}).x
        relaxed = relax(disturbed(), silicon, Settings(fmax=1e-3, cell=True)).atoms
        assert np.cbrt(relaxed.get_volume()) == pytest.approx(a, abs=1e-3)
        assert relaxed.cell.lengths() == pytest.approx([a] * 3, abs=2e-3)
        assert relaxed.cell.angles() == pytest.approx([90] * 3, abs=0.02)
        assert a == pytest.approx(5.470, abs=1e-3)  # as the example's README says

    def test_held_atoms_stay(self, silicon):
        start = structures.rattled(bulk("Si", "diamond", a=5.47, cubic=True), 0.1)
        start.set_constraint(FixAtoms([0, 3]))
        done = relax(start, silicon, Settings(fmax=0.01))
        assert done.converged
        moved = np.linalg.norm(done.atoms.positions - start.positions, axis=1)
        assert not moved[[0, 3]].any() and moved[[1, 2]].min() > 1e-3
        assert [list(constraint.index) for constraint in done.atoms.constraints] == [[0, 3]]
        forces = np.linalg.norm(silicon.get_forces(Atoms(done.atoms)), axis=1)
        assert forces[[1, 2, 4, 5, 6, 7]].max() < 0.01 < forces[[0, 3]].min()

    def test_symmetry_is_kept(self, silicon):
        """A crystal stretched along one axis stays tetragonal, atoms on their sites, while its cell relaxes."""
        pytest.importorskip("spglib")
        start = bulk("Si", "diamond", a=5.4, cubic=True)
        start.set_cell(start.cell.array * [1, 1, 1.03], scale_atoms=True)
        done = relax(start, silicon, Settings(fmax=1e-3, cell=True, symmetry=True))
        assert done.converged and not done.atoms.constraints
        a, b, c = done.atoms.cell.lengths()
        assert a == pytest.approx(b, abs=1e-9) and c == pytest.approx(a, abs=2e-3)
        sites = bulk("Si", "diamond", a=1.0, cubic=True).positions
        np.testing.assert_allclose(done.atoms.get_scaled_positions(), sites, atol=1e-9)

    def test_too_few_steps(self, silicon):
        done = relax(disturbed(), silicon, Settings(fmax=1e-3, steps=2))
        assert not done.converged and len(done.steps) == 3

    def test_single_atom_is_relaxed_already(self, exact):
        done = relax(Atoms("H"), exact)
        assert done.converged and len(done.steps) == 1


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"optimizer": "newton"}, "there is no optimizer 'newton'; use one of bfgs, fire, lbfgs"),
            ({"fmax": 0.0}, "fmax is 0 eV/angstrom; give a positive number"),
            ({"steps": 0}, "the limit is 0 steps; give at least 1"),
            ({"pressure": 2.0}, "a pressure of 2 GPa needs a cell that may change; add --cell"),
            ({"pressure": float("nan"), "cell": True}, "the pressure is nan GPa; give a finite number"),
        ],
    )
    def test_settings(self, options, sentence):
        with pytest.raises(TDNError, match=sentence):
            Settings(**options)

    def test_symmetry_without_spglib(self, monkeypatch):
        monkeypatch.setattr("tdn.relaxation.relax.find_spec", lambda name: None)
        with pytest.raises(TDNError, match="spglib, which is not installed; install it or leave out --symmetry"):
            Settings(symmetry=True)

    @pytest.mark.parametrize("option", ["cell", "symmetry"])
    def test_no_three_periods(self, exact, option):
        with pytest.raises(TDNError, match=r"need three periodic directions but pbc is \[True, True, False\]"):
            relax(structures.open_slab(), exact, Settings(**{option: True}))

    def test_cell_with_direct_forces(self):
        calculator = TDNCalculator(random_model(("Si",), direct_forces=True), forces="direct")
        with pytest.raises(NoStressError, match="use a structure periodic in three directions and forces='gradient'"):
            relax(structures.small_cell(), calculator, Settings(cell=True))

    def test_energy_that_is_no_number(self):
        model = random_model(("Si",))
        model.set_references([float("nan")], 1.0)
        with pytest.raises(TDNError, match="the energy is nan eV after 0 steps"):
            relax(structures.small_cell(), TDNCalculator(model))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint and three structures: one relaxed, one with held atoms, one molecule in vacuum."""
    model = random_model(("C", "H", "O"), n_channels=8, n_layers=1)
    save_model(model, tmp_path / "a.ckpt", {})
    held = structures.methane()
    held.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "start.xyz", [Atoms("H", positions=[[0, 0, 0]]), held, structures.ethanol()])
    return tmp_path


def run(folder: Path, *options: str) -> int:
    paths = [str(folder / "a.ckpt"), str(folder / "start.xyz"), "-o", str(folder / "out.xyz")]
    return main(["relax", *paths, *options])


class TestCommand:
    def test_several_structures(self, folder, capsys):
        assert run(folder, "--fmax", "0.02") == 0
        text = capsys.readouterr().out
        assert "structure 2 of start.xyz: C2H6O, bfgs, fmax 0.02" in text
        assert text.count("converged after") == 3 and "NOT" not in text
        calculator = TDNCalculator(folder / "a.ckpt")
        start, relaxed = (ase.io.read(folder / name, ":") for name in ("start.xyz", "out.xyz"))
        assert [str(atoms.symbols) for atoms in relaxed] == [str(atoms.symbols) for atoms in start]
        for atoms in relaxed:
            assert np.linalg.norm(calculator.get_forces(atoms)[1:], axis=1).max(initial=0) < 0.0201
            assert atoms.get_potential_energy() == pytest.approx(calculator.get_potential_energy(atoms), abs=1e-5)
        assert list(relaxed[1].constraints[0].index) == [0]
        np.testing.assert_allclose(relaxed[1].positions[0], start[1].positions[0], atol=1e-8)

    @pytest.mark.parametrize("name", ["steps.xyz", "steps.traj"])
    def test_trajectory(self, folder, name, capsys):
        assert run(folder, "--fmax", "0.05", "--trajectory", str(folder / name)) == 0
        frames = ase.io.read(folder / name, ":")
        table = [line.split() for line in capsys.readouterr().out.splitlines() if line[:6].strip().isdigit()]
        assert [atoms.info["step"] for atoms in frames] == [int(row[0]) for row in table]
        assert sorted({int(atoms.info["structure"]) for atoms in frames}) == [0, 1, 2]
        energies = [atoms.get_potential_energy() for atoms in frames]
        assert energies == pytest.approx([float(row[1]) for row in table], abs=2e-6)

    def test_not_converged_is_status_1_with_the_output(self, folder, capsys):
        assert run(folder, "--fmax", "1e-9", "--steps", "1") == 1
        output = capsys.readouterr()
        assert "NOT converged after 1 steps" in output.out
        assert "of 3 structures, 1, 2 did not converge to 1e-09 eV/angstrom in 1 steps; allow more" in output.err
        assert len(ase.io.read(folder / "out.xyz", ":")) == 3

    def test_structures_before_a_mistake_are_kept(self, folder, capsys):
        frames = ase.io.read(folder / "start.xyz", ":")
        ase.io.write(folder / "start.xyz", [*frames[:2], Atoms("SiH", [[0, 0, 0], [1.5, 0, 0]])])
        assert run(folder, "--fmax", "0.05") == 1
        output = capsys.readouterr()
        assert "tdn relax: structure 2 of start.xyz: element Si is not in the model" in output.err
        assert "2 of 3 structures" in output.out
        assert len(ase.io.read(folder / "out.xyz", ":")) == 2

    def test_nothing_is_overwritten(self, folder, capsys):
        assert run(folder, "--fmax", "0.1") == 0
        before = (folder / "out.xyz").read_bytes()
        assert run(folder) == 1
        assert "out.xyz' already exists" in capsys.readouterr().err
        assert (folder / "out.xyz").read_bytes() == before
        steps = folder / "steps.xyz"
        steps.write_text("mine")
        assert run(folder, "--overwrite", "--fmax", "0.1", "--trajectory", str(steps)) == 0
        assert "mine" not in steps.read_text()
        assert main(["relax", str(folder / "a.ckpt"), str(folder / "start.xyz"), "-o", str(steps)]) == 1

    @pytest.mark.parametrize(
        ("output", "options", "sentence"),
        [
            ("out.foo", (), "has an extension for which ASE writes no structures; use .xyz"),
            ("out.cube", (), "can hold one structure only and there are several"),
            ("none/out.xyz", (), "does not exist; create it first"),
            (
                "out.xyz",
                ("--trajectory", "steps.pdb"),
                "'steps.pdb' cannot hold a trajectory; use",
            ),
            ("out.xyz", ("--cell",), "structure 0 of start.xyz: --cell and --symmetry need three periodic directions"),
            ("out.xyz", ("--fmax", "-1"), "fmax is -1 eV/angstrom"),
        ],
    )
    def test_mistakes(self, folder, output, options, sentence, capsys):
        arguments = [str(folder / "a.ckpt"), str(folder / "start.xyz"), "-o", str(folder / output), *options]
        assert main(["relax", *arguments]) == 1
        assert sentence in capsys.readouterr().err
        assert not (folder / output).exists()
