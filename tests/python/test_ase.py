"""The ASE calculator: properties are those of the model, derivatives are ASE's."""

from __future__ import annotations

import numpy as np
import pytest
import structures
import torch
from ase.calculators.test import calculate_numerical_forces
from models import graph_of, random_model

from tdn.ase import TDNCalculator, predict
from tdn.errors import TDNError
from tdn.interop import load_airs


def test_energy_forces_and_stress():
    atoms = structures.silicon_triclinic()
    model = random_model(("Si",))
    atoms.calc = TDNCalculator(model)
    expected = model(graph_of(model, atoms), stress=True)
    assert atoms.get_potential_energy() == expected.energy.item()
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces.numpy())
    np.testing.assert_array_equal(atoms.get_potential_energies(), expected.atom_energies.numpy())
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress[0].numpy(), rtol=1e-14)


def test_forces_are_ases_numerical_forces():
    atoms = structures.ethanol()
    atoms.calc = TDNCalculator(random_model(("C", "H", "O")))
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 4])
    np.testing.assert_allclose(atoms.get_forces()[[0, 4]], numerical, atol=1e-7)


def test_dtype_is_converted():
    atoms = structures.ethanol()
    model = random_model(("C", "H", "O"))
    exact = TDNCalculator(model).get_forces(atoms)
    single = TDNCalculator(model, dtype="float32")
    assert single.model.dtype == torch.float32
    difference = abs(single.get_forces(atoms) - exact).max()
    assert 0 < difference < 1e-5
    with pytest.raises(TDNError, match="use 'float32' or 'float64'"):
        TDNCalculator(model, dtype="half")


def test_imported_model_keeps_the_published_conventions(shared_data):
    path = shared_data / "official-tdn" / "tdn_C32_L1_N2.state_dict.pt"
    arrays = np.load(shared_data / "official-tdn" / "tdn_C32_L1_N2.io.npz")
    from ase import Atoms

    of_first = arrays["batch"] == 1
    atoms = Atoms(numbers=arrays["Z"][of_first], positions=arrays["pos"][of_first])
    atoms.calc = TDNCalculator(load_airs(path))
    assert atoms.get_potential_energy() == pytest.approx(len(atoms) * arrays["energy"][1], rel=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), arrays["forces_direct"][of_first], atol=1e-12)
    atoms.calc = TDNCalculator(load_airs(path, forces="gradient"))
    np.testing.assert_allclose(atoms.get_forces(), arrays["forces_gradient"][of_first], atol=1e-12)


def test_stress_of_a_molecule_is_refused():
    atoms = structures.ethanol()
    atoms.calc = TDNCalculator(random_model(("C", "H", "O")))
    with pytest.raises(TDNError, match="use a structure periodic in three directions"):
        atoms.get_stress()


def test_unknown_element_is_named():
    atoms = structures.ethanol()
    atoms.calc = TDNCalculator(random_model(("C", "H")))
    with pytest.raises(TDNError, match="element O is not in the model, which knows C H"):
        atoms.get_potential_energy()


def test_kind_of_forces_is_checked(shared_data):
    path = shared_data / "official-tdn" / "tdn_C32_L1_N2.state_dict.pt"
    with pytest.raises(TDNError, match="forces is 'Direct'; use one of gradient, direct, both"):
        TDNCalculator(load_airs(path), forces="Direct")
    with pytest.raises(TDNError, match="no head for direct forces"):
        TDNCalculator(random_model(("C", "H", "O")), forces="direct")


def test_predict_takes_one_structure():
    atoms, model = structures.ethanol(), random_model(("C", "H", "O"))
    (alone,), (listed,) = predict(model, atoms), predict(model, [atoms])
    assert alone.get_potential_energy() == listed.get_potential_energy()


def test_direct_forces_have_no_stress(shared_data):
    atoms = structures.silicon_triclinic()
    atoms.calc = TDNCalculator(load_airs(shared_data / "official-tdn" / "tdn_C32_L1_N2.state_dict.pt"))
    assert atoms.get_forces().shape == (64, 3)
    with pytest.raises(TDNError, match="forces='gradient'"):
        atoms.get_stress()


def test_graph_in_another_precision_is_refused():
    model = random_model(("C", "H", "O"))
    with pytest.raises(TDNError, match=r"use graph\.to\(dtype=model\.dtype\)"):
        model(graph_of(model, structures.ethanol()).to(dtype=torch.float32))


@pytest.mark.parametrize(
    ("device", "sentence"), [("gpu", "which torch does not know; use 'cpu'"), ("cuda", "torch sees no GPU; use 'cpu'")]
)
def test_device_is_checked(device, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TDNError, match=sentence):
        TDNCalculator(random_model(("Si",)), device=device)
