"""Checklist "element names mapped with map_element2type", "model found through utils::get_potential_file_path"."""

from pathlib import Path

import numpy as np
import pytest
from lammps_runner import run, setup, write_data
from solid import ELEMENTS, PERIODIC, STATE, completed, pair, show, start
from test_closed_form import expected, float64_formulas, random_atoms  # noqa: F401


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_several_types_of_one_element(archives, n_ranks: int, tmp_path: Path):
    """Two types may be the same element, and a type may have no atoms."""
    atoms = random_atoms(30, [7.0, 7.5, 8.0], seed=4)
    write_data(atoms, [*ELEMENTS, "He", "Li"], tmp_path / "data.test")
    # an O for every second oxygen is type 3; type 4, the other H, has no atoms
    oxygen = [k + 1 for k in np.flatnonzero(atoms.symbols == "O")[::2]]
    text = setup(PERIODIC) + "".join(f"set atom {k} type 3\n" for k in oxygen)
    text += f"pair_style tdn device cpu\npair_coeff * * {archives['message', 'float64']} H O O H\n{STATE}"
    done = completed(f"{text}run 0\n{show('now')}", n_ranks, tmp_path)
    want = expected("message", atoms)
    assert done.values("now")[0] == pytest.approx(want["atom_energies"].sum(), abs=1e-9)
    assert done.values("now")[1] == pytest.approx(np.linalg.norm(want["forces"]), abs=1e-9)


def test_model_in_the_folder_of_potentials(archives, tmp_path: Path):
    """LAMMPS_POTENTIALS names the folder of the archive; a file of that name in the working folder comes first."""
    atoms = random_atoms(20, [7.0, 7.5, 8.0], seed=4)
    archive = archives["message", "float64"]
    text = start(atoms, tmp_path) + pair(Path(archive.name)) + STATE + f"run 0\n{show('now')}"
    done = run(text, 2, tmp_path, LAMMPS_POTENTIALS=str(archive.parent))
    assert done.returncode == 0, done.output
    assert done.values("now")[0] == pytest.approx(expected("message", atoms)["atom_energies"].sum(), abs=1e-9)
    (tmp_path / archive.name).write_bytes(archives["pair", "float64"].read_bytes())
    done = run(text, 2, tmp_path, LAMMPS_POTENTIALS=str(archive.parent))
    assert done.values("now")[0] == pytest.approx(expected("pair", atoms)["atom_energies"].sum(), abs=1e-9)


def test_two_dimensions_are_refused(archives, tmp_path: Path):
    """Dimension 2 is refused in one sentence."""
    text = (
        "dimension 2\nunits metal\nboundary p p p\nregion b block 0 10 0 10 -0.5 0.5\ncreate_box 2 b\nmass * 1\n"
        f"create_atoms 1 single 5 5 0\n{pair(archives['message', 'float64'])}run 0\n"
    )
    done = run(text, 2, tmp_path)
    assert done.returncode != 0
    sentence = "Pair style tdn: the model is three-dimensional but dimension is 2: write dimension 3"
    assert done.error == f"ERROR: {sentence}", done.output
