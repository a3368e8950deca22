"""What an md model must obey with any weights: symmetries, forces as derivatives, extensivity, smoothness."""

from __future__ import annotations

import numpy as np
import pytest
import structures
import torch
from ase import Atoms
from models import elements_of, energy_of, graph_of, random_model
from scipy.spatial.transform import Rotation
from slopes import assert_forces_are_slopes, assert_stress_is_slope
from tolerances import INVARIANCE

from tdn.errors import TDNError
from tdn.model import TDN, ModelConfig
from tdn.model.radial import n_path_weights, polynomial_envelope

DEGREES = (1, 2, 3)


def moved(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    """Positions and cell multiplied by an orthogonal matrix."""
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ matrix.T)
    result.positions = atoms.positions @ matrix.T
    return result


@pytest.mark.parametrize("l_max", DEGREES)
@pytest.mark.parametrize("make", [structures.ethanol, structures.small_cell], ids=["molecule", "crystal"])
def test_energy_is_invariant_and_forces_turn(make, l_max):
    atoms = make()
    model = random_model(elements_of(atoms), l_max=l_max)
    reference = model(graph_of(model, atoms), stress=atoms.pbc.all())
    spread = abs(reference.energy.item())
    for matrix in (Rotation.random(random_state=3).as_matrix(), -np.eye(3)):
        turned = model(graph_of(model, moved(atoms, matrix)), stress=atoms.pbc.all())
        q = torch.from_numpy(matrix)
        assert abs(turned.energy.item() - reference.energy.item()) < INVARIANCE * spread
        torch.testing.assert_close(turned.forces, reference.forces @ q.T, rtol=0, atol=1e-10)
        if atoms.pbc.all():
            torch.testing.assert_close(turned.stress, q @ reference.stress @ q.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("l_max", DEGREES)
def test_energy_does_not_depend_on_origin_order_or_choice_of_images(l_max):
    atoms = structures.small_cell().repeat((2, 1, 1))
    model = random_model(("Si",), l_max=l_max)
    reference = energy_of(model, atoms)
    shifted = atoms.copy()
    shifted.translate([0.3, -1.7, 2.2])
    images = atoms.copy()
    images.positions[0] += 2 * atoms.cell[0] - atoms.cell[1]
    order = atoms[np.random.default_rng(0).permutation(len(atoms))]
    for other in (shifted, images, order):
        assert abs(energy_of(model, other) - reference) < INVARIANCE * abs(reference)
    assert abs(energy_of(model, atoms.repeat((1, 2, 1))) - 2 * reference) < INVARIANCE * abs(reference)


@pytest.mark.parametrize("l_max", DEGREES)
def test_forces_are_minus_the_gradient(l_max):
    atoms = structures.ethanol()
    assert_forces_are_slopes(random_model(elements_of(atoms), l_max=l_max), atoms)


def test_stress_is_the_strain_derivative():
    assert_stress_is_slope(random_model(("Si",)), structures.silicon_triclinic())


def test_two_far_molecules_have_twice_the_energy():
    atoms = structures.ethanol()
    model = random_model(elements_of(atoms), n_layers=3)
    pair = atoms.copy()
    far = atoms.copy()
    far.translate([100.0, 0.0, 0.0])
    pair += far
    assert energy_of(model, pair) == pytest.approx(2 * energy_of(model, atoms), rel=1e-13)


def test_isolated_atoms_have_their_reference_energy():
    model = random_model(("H", "O"))
    model.set_references([-13.5, -430.25], 0.7)
    prediction = model(graph_of(model, structures.isolated_atoms()))
    torch.testing.assert_close(prediction.atom_energies, torch.tensor([-430.25, -13.5, -430.25], dtype=torch.float64))
    assert not prediction.forces.any()


def test_no_atoms_no_energy():
    model = random_model(("H", "O"))
    prediction = model(graph_of(model, Atoms()))
    assert prediction.energy.tolist() == [0.0]
    assert prediction.forces.shape == (0, 3)


def test_coincident_atoms_give_finite_numbers():
    model = random_model(("H",))
    graph = graph_of(model, Atoms("H2", [[0, 0, 0], [0, 0, 0.8]]))
    graph.vectors.zero_()
    prediction = model(graph)
    assert prediction.energy.isfinite().all() and prediction.forces.isfinite().all()


def test_mirror_images_differ_only_with_so3_paths():
    """Only the paths that break parity tell enantiomers apart; the o3 choice must not."""
    atoms = structures.ethanol()
    mirror = moved(atoms, np.diag([1.0, 1.0, -1.0]))
    broken = random_model(elements_of(atoms), paths="so3", norm="smooth", attention="softmax")
    assert abs(energy_of(broken, mirror) - energy_of(broken, atoms)) > 1e-7
    kept = random_model(elements_of(atoms), paths="o3")
    assert abs(energy_of(kept, mirror) - energy_of(kept, atoms)) < 1e-13


#: Norms and attention weights for dynamics.
SMOOTH = ({}, {"norm": "smooth"}, {"attention": "softmax"}, {"attention": "softmax", "norm": "smooth"})
SYMMETRIC = {
    "CH4": structures.methane,
    "CO2": structures.carbon_dioxide,
    "SF6": structures.octahedron,
    "fcc": structures.fcc,
}
DISPLACEMENTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def stiffness(model, atoms: Atoms) -> np.ndarray:
    """-F(d) / d of the first atom for displacements d along a direction without symmetry, eV/angstrom^2."""
    direction = np.array([0.8, 0.36, 0.48])
    at_rest = model(graph_of(model, atoms)).forces[0].numpy() @ direction
    values = []
    for d in DISPLACEMENTS:
        displaced = atoms.copy()
        displaced.positions[0] += d * direction
        values.append(-(model(graph_of(model, displaced)).forces[0].numpy() @ direction - at_rest) / d)
    return np.array(values)


@pytest.mark.parametrize("options", SMOOTH)
@pytest.mark.parametrize("n_layers", (1, 3, 6))
@pytest.mark.parametrize("name", SYMMETRIC)
def test_forces_are_linear_near_symmetric_environments(name, n_layers, options):
    atoms = SYMMETRIC[name]()
    model = random_model(elements_of(atoms), n_layers=n_layers, **options)
    values = stiffness(model, atoms)
    assert values.min() * values.max() > 0, values
    assert abs(values).max() < 3 * abs(values).min(), values


@pytest.mark.parametrize("name", ("CH4", "CO2"))
def test_the_published_norm_fails_the_same_test(name):
    """Guards the test above: with LayerNorm's eps of 1e-5 on l >= 1 the stiffness varies by orders of magnitude."""
    atoms = SYMMETRIC[name]()
    model = random_model(elements_of(atoms), n_layers=6, norm="layer")
    values = abs(stiffness(model, atoms))
    assert values.max() > 1e3 * values.min(), values


def crossing_slopes(model, offsets: np.ndarray) -> np.ndarray:
    """dE/ds for a hydrogen at distance cutoff + s from the carbon of a C-O pair that stays in reach of both."""
    slopes = []
    for s in offsets:
        atoms = Atoms("COH", [[0, 0, 0], [1.2, 0, 0], [0.0, model.cutoff + s, 0.0]])
        atoms.positions[1] = [0.3, 1.1, 0.2]
        slopes.append(-model(graph_of(model, atoms)).forces[2, 1].item())
    return np.array(slopes)


@pytest.mark.parametrize("options", SMOOTH)
@pytest.mark.parametrize("l_max", (1, 2))
def test_energy_has_two_continuous_derivatives_at_the_cutoff(l_max, options):
    """E, E' and E'' on both sides of the cutoff meet: their differences shrink with the distance to it."""
    model = random_model(("C", "H", "O"), l_max=l_max, n_layers=3, **options)
    jumps = []
    for gap in (4e-3, 4e-4):
        below = np.diff(crossing_slopes(model, np.array([-gap, -gap / 2])))[0] / (gap / 2)
        above = np.diff(crossing_slopes(model, np.array([gap / 2, gap])))[0] / (gap / 2)
        jumps.append(abs(above - below))
    assert jumps[1] < 0.2 * jumps[0] + 1e-10, jumps
    slopes = crossing_slopes(model, np.array([-1e-7, 1e-7]))
    assert abs(slopes[1] - slopes[0]) < 1e-8  # 2e-7 angstrom apart: the smooth change alone


def test_envelope_keeps_its_digits_near_the_cutoff():
    """float32 loses nothing in the last hundredth of an angstrom, and the values are those of the usual form."""
    r = torch.linspace(0.0, 5.0, 1001, dtype=torch.float64)
    x, p = r / 5.0, 6
    usual = 1 - 0.5 * (p + 1) * (p + 2) * x**p + p * (p + 2) * x ** (p + 1) - 0.5 * p * (p + 1) * x ** (p + 2)
    exact = polynomial_envelope(r, 5.0, p)
    torch.testing.assert_close(exact, usual, rtol=0, atol=1e-13)
    near = torch.linspace(4.9, 5.0, 1001, dtype=torch.float64)
    exact, single = polynomial_envelope(near, 5.0, p), polynomial_envelope(near.float(), 5.0, p)
    assert (single - exact).abs().max() < 1e-7 and single.min() >= 0


def test_a_model_without_envelope_fails_at_the_cutoff():
    """Guards the test above: the published form steps."""
    torch.manual_seed(0)
    options = {"n_channels": 16, "n_layers": 2, "direct_forces": False, "forces": "gradient"}
    model = TDN(ModelConfig.paper(("C", "H", "O"), **options)).double()
    slopes = crossing_slopes(model.eval(), np.array([-1e-7, 1e-7]))
    assert abs(slopes[1] - slopes[0]) > 1e-6


OTHER_SETTINGS = (
    {"l_max": 0},
    {"cp_rank": 8, "paths": "so3"},
    {"pair_embedding": "sum"},
    {"path_weights": "separate"},
    {"path_weights": "separate", "l_max": 2, "paths": "so3"},
    {"attention": "softmax"},
    {"attention": "softmax", "norm": "smooth", "l_max": 2},
)


@pytest.mark.parametrize("setting", OTHER_SETTINGS)
def test_other_settings_run_and_keep_symmetry(setting):
    atoms = structures.ethanol()
    model = random_model(elements_of(atoms), **setting)
    turned = moved(atoms, Rotation.random(random_state=1).as_matrix())
    assert energy_of(model, turned) == pytest.approx(energy_of(model, atoms), rel=1e-9)


def test_separate_path_weights_that_are_equal_are_shared_ones():
    atoms = structures.ethanol()
    shared = random_model(elements_of(atoms), l_max=2)
    separate = random_model(elements_of(atoms), l_max=2, path_weights="separate")
    n_paths = n_path_weights(separate.config)
    assert n_paths == 11  # of the 15 triples up to degree 2, those with an even sum
    state = shared.network.state_dict()
    for name in [name for name in state if name.endswith(("radial.last.weight", "radial.last.bias"))]:
        n_copies = 3 if name.startswith("embedding.") else n_paths  # a scalar has one path to each degree
        state[name] = torch.cat([state[name]] * n_copies)
    separate.network.load_state_dict(state)
    assert energy_of(separate, atoms) == pytest.approx(energy_of(shared, atoms), rel=1e-12)


def test_cp_form_at_exact_rank_equals_the_exact_product():
    atoms = structures.ethanol()
    exact = random_model(elements_of(atoms), l_max=2)
    cp = random_model(elements_of(atoms), l_max=2, cp_rank=18)
    cp.network.load_state_dict(exact.network.state_dict(), strict=False)
    assert energy_of(cp, atoms) == pytest.approx(energy_of(exact, atoms), rel=1e-10)


def test_float32_agrees_with_float64():
    atoms = structures.water(2)
    model = random_model(("H", "O"))
    exact = model(graph_of(model, atoms)).forces
    single = model.in_dtype(torch.float32)
    rounded = single(graph_of(single, atoms)).forces
    assert (rounded - exact).abs().max() < 1e-4 * exact.abs().max()
    again = single.in_dtype(torch.float64)
    assert torch.equal(again.network.geometry.coupling.tensor, model.network.geometry.coupling.tensor)


def test_an_edge_of_sigmoid_attention_does_not_see_the_others():
    """Weights of two edges together are those of each alone; those of a softmax are not."""
    contributions = {}
    for attention in ("sigmoid", "softmax"):
        block = random_model(("H",), n_layers=1, attention=attention).network.layers[0].attention.softmax
        logits, envelope = torch.tensor([[0.3], [1.1]], dtype=torch.float64).repeat(1, 4), torch.tensor([0.9, 0.5])
        both = block(logits, envelope, torch.tensor([0, 0]), 1)
        alone = torch.cat([block(logits[k : k + 1], envelope[k : k + 1], torch.tensor([0]), 1) for k in (0, 1)])
        contributions[attention] = float((both - alone).detach().abs().max())
    assert contributions["sigmoid"] == 0.0
    assert contributions["softmax"] > 0.1


def test_sigmoid_attention_is_not_of_the_paper():
    with pytest.raises(TDNError, match="attention is 'sigmoid' but setting is 'paper'"):
        ModelConfig.paper(("H",), attention="sigmoid")
