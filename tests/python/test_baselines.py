"""SchNet and PaiNN with any weights: physics, and evaluations by other code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import structures
import torch
from ase import Atoms
from baselines import SMALL, need, painn_by_hand, random_baseline
from models import elements_of, energy_of, graph_of
from scipy.spatial.transform import Rotation
from tolerances import FINITE_DIFFERENCES, INVARIANCE

from tdn.data import graph_from_atoms


@pytest.fixture(params=list(SMALL), scope="module")
def architecture(request) -> str:
    """Name of a baseline; SchNet needs its library."""
    return need(request.param)


class TestPhysics:
    @pytest.mark.parametrize("make", [structures.ethanol, structures.small_cell], ids=["molecule", "crystal"])
    def test_energy_is_invariant_and_forces_turn(self, architecture, make):
        atoms = make()
        model = random_baseline(architecture, elements_of(atoms))
        reference = model(graph_of(model, atoms))
        for matrix in (Rotation.random(rng=3).as_matrix(), -np.eye(3)):
            turned = atoms.copy()
            turned.set_cell(atoms.cell.array @ matrix.T)
            turned.positions = atoms.positions @ matrix.T + [0.3, -1.7, 2.2]
            result = model(graph_of(model, turned))
            assert abs((result.energy - reference.energy).item()) < INVARIANCE * abs(reference.energy.item())
            expected = reference.forces @ torch.from_numpy(matrix).T
            torch.testing.assert_close(result.forces, expected, rtol=0, atol=1e-10)

    def test_order_of_the_atoms(self, architecture):
        atoms = structures.ethanol()
        model = random_baseline(architecture, elements_of(atoms))
        order = np.random.default_rng(0).permutation(len(atoms))
        first, second = (model(graph_of(model, each)) for each in (atoms, atoms[order]))
        assert second.energy.item() == pytest.approx(first.energy.item(), rel=INVARIANCE)
        torch.testing.assert_close(second.forces, first.forces[order], rtol=0, atol=1e-12)

    def test_supercell_and_far_molecules(self, architecture):
        crystal = structures.small_cell()  # shorter than the cutoff: an atom sees its own images
        model = random_baseline(architecture, ("Si",))
        energy = energy_of(model, crystal)
        for repeats in ((2, 1, 1), (1, 2, 3)):
            assert energy_of(model, crystal.repeat(repeats)) == pytest.approx(math.prod(repeats) * energy, rel=1e-12)
        molecule = structures.ethanol()
        model = random_baseline(architecture, elements_of(molecule))
        far = molecule.copy()
        far.translate([100.0, 0.0, 0.0])
        assert energy_of(model, molecule + far) == pytest.approx(2 * energy_of(model, molecule), rel=1e-12)

    def test_forces_and_stress_are_derivatives(self, architecture):
        """Along a random direction, positions and cell together."""
        atoms = structures.small_cell()
        model = random_baseline(architecture, ("Si",))
        result = model(graph_of(model, atoms), stress=True)
        rng = np.random.default_rng(1)
        shift, strain = rng.normal(size=(len(atoms), 3)), rng.normal(scale=0.1, size=(3, 3))

        def energy(step: float) -> float:
            moved = atoms.copy()
            moved.positions += step * shift
            moved.set_cell(moved.cell.array @ (np.eye(3) + step * strain).T, scale_atoms=True)
            return energy_of(model, moved)

        slope = (energy(1e-4) - energy(-1e-4)) / 2e-4
        work = -(result.forces.numpy() * shift).sum()
        work += (result.stress[0].numpy() * strain).sum() * atoms.get_volume()
        assert abs(slope - work) < FINITE_DIFFERENCES * abs(result.forces.numpy()).sum()
        assert abs(result.forces.numpy()).max() > 1e-3

    def test_isolated_atoms_have_their_reference_energy(self, architecture):
        model = random_baseline(architecture, ("H", "O"))
        model.set_references([-13.5, -430.25], 0.7)
        prediction = model(graph_of(model, structures.isolated_atoms()))
        assert prediction.atom_energies.tolist() == [-430.25, -13.5, -430.25]
        assert not prediction.forces.any()

    def test_energy_and_force_are_continuous_at_the_cutoff(self, architecture):
        """A hydrogen crosses the cutoff of the carbon of a C-O pair, with the oxygen in reach on both sides."""
        model = random_baseline(architecture, ("C", "H", "O"))

        def energy_and_slope(offset: float) -> np.ndarray:
            atoms = Atoms("COH", [[0, 0, 0], [0.3, 1.1, 0.2], [0.0, model.cutoff + offset, 0.0]])
            result = model(graph_of(model, atoms))
            return np.array([result.energy.item(), -result.forces[2, 1].item()])

        gap = 1e-6
        steps = abs(energy_and_slope(gap) - energy_and_slope(-gap))
        change = abs(energy_and_slope(0.5) - energy_and_slope(-0.5))
        assert (steps < 1e2 * gap * change).all(), (steps, change)
        graph = graph_from_atoms(Atoms("COH", [[0, 0, 0], [0.3, 1.1, 0.2], [0, 4.4, 0]]), model.elements, model.cutoff)
        assert int((graph.center == 0).sum()) == 2  # below the cutoff the carbon does see the hydrogen

    def test_no_atoms_and_coincident_atoms(self, architecture):
        model = random_baseline(architecture, ("H",))
        assert model(graph_of(model, Atoms())).energy.tolist() == [0.0]
        graph = graph_of(model, Atoms("H2", [[0, 0, 0], [0, 0, 0.8]]))
        graph.vectors.zero_()
        prediction = model(graph)
        assert prediction.energy.isfinite().all() and prediction.forces.isfinite().all()


class AllPairs(torch.nn.Module):
    """Edges of one molecule and their lengths, for torch_geometric."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, positions: torch.Tensor, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        distances = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
        near = (distances < self.cutoff) & ~torch.eye(len(positions), dtype=torch.bool)
        return near.nonzero().T, distances[near]


class TestIndependentEvaluation:
    def test_schnet_by_its_own_forward(self):
        """torch_geometric builds edges from positions and sums over the molecule."""
        need("schnet")
        atoms = structures.ethanol()
        model = random_baseline("schnet", elements_of(atoms), cutoff=3.0)
        blocks = model.network.blocks

        blocks.interaction_graph = AllPairs(3.0)
        positions = torch.tensor(atoms.positions, requires_grad=True)
        total = blocks(torch.tensor(atoms.numbers), positions)
        (gradient,) = torch.autograd.grad(total.sum(), positions)
        origin = torch.zeros(1, 3, dtype=torch.float64)
        alone = [blocks(torch.tensor([number]), origin).item() for number in atoms.numbers]
        result = model(graph_of(model, atoms))
        assert result.energy.item() == pytest.approx(total.item() - sum(alone), rel=1e-12)
        torch.testing.assert_close(result.forces, -gradient, rtol=0, atol=1e-12)

    def test_painn_by_its_formulas(self):
        """Eqs. 7 to 10 of arXiv 2102.03150 with a loop over pairs, numpy only."""
        atoms = structures.ethanol()
        model = random_baseline("painn", elements_of(atoms), cutoff=3.0)
        weights = {name: value.numpy() for name, value in model.network.state_dict().items()}
        values = painn_by_hand(atoms, model.elements, weights, 3.0, n_layers=2, n_radial=8)
        alone = [painn_by_hand(Atoms([atom]), model.elements, weights, 3.0, 2, 8)[0] for atom in atoms]
        found = model(graph_of(model, atoms)).atom_energies.numpy()
        np.testing.assert_allclose(found, values - alone, rtol=0, atol=1e-12)
