"""Checklist "compute pe/atom, stress/atom, centroid/stress/atom, heat/flux, pressure with and without kinetic part"."""

import numpy as np
import pytest
from lammps_runner import PRESSURE_FACTOR
from solid import STATE, completed, pair, solid, start, table

COMPUTES = """
compute z all pe/atom
compute k all ke/atom
compute s all stress/atom NULL virial
compute sk all stress/atom thermo_temp
compute cs all centroid/stress/atom NULL virial
compute j all heat/flux k z s
compute jc all heat/flux k z cs
compute p all pressure thermo_temp
compute rz all reduce sum c_z
compute rs all reduce sum c_s[*]
compute rk all reduce sum c_sk[*]
compute rc all reduce sum c_cs[*]
thermo_style custom step vol pe ke c_rz c_w[*] c_p[*] c_rs[*] c_rk[*] c_rc[*] c_j[*] c_jc[*]
thermo_modify norm no format float %.15g
"""


@pytest.fixture(scope="module")
def frames(archives, tmp_path_factory) -> dict[int, np.ndarray]:
    """Every tenth of 100 steps of NPT on 1, 2 and 4 ranks."""
    folder = tmp_path_factory.mktemp("sums")
    text = start(solid(mixed=True), folder) + "change_box all triclinic\n" + pair(archives["message", "float64"])
    text += f"{STATE}{COMPUTES}velocity all create 1500 3 mom yes loop geom\n"
    text += "neighbor 0.4 bin\ntimestep 0.0005\nthermo 10\nfix 1 all npt temp 1500 1500 0.1 tri 1e4 1e4 0.5\nrun 100\n"
    return {n: table(completed(text, n, folder)) for n in (1, 2, 4)}


def columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the thermo output by name, (n, width)."""
    widths = {"step": 1, "vol": 1, "pe": 1, "ke": 1, "sum_pe": 1, "virial": 6, "pressure": 6}
    widths |= {"stress": 6, "stress_kinetic": 6, "centroid": 9, "flux": 6, "flux_centroid": 6}
    parts = np.split(rows, np.cumsum(list(widths.values()))[:-1], axis=1)
    return dict(zip(widths, parts, strict=True))


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_sums_in_motion(frames, n_ranks: int):
    """Sums of per-atom energies and of three kinds of per-atom stress are the global numbers in every frame."""
    c = columns(frames[n_ranks])
    assert np.ptp(c["pe"]) > 1 and np.ptp(c["vol"]) > 0.1
    np.testing.assert_allclose(c["sum_pe"], c["pe"], rtol=1e-12)
    scale = {"rtol": 1e-9, "atol": 1e-4}
    np.testing.assert_allclose(-c["stress"] / c["vol"], c["virial"], **scale)
    np.testing.assert_allclose(-c["stress_kinetic"] / c["vol"], c["pressure"], **scale)
    np.testing.assert_allclose(-c["centroid"] / c["vol"], c["virial"][:, [0, 1, 2, 3, 4, 5, 3, 4, 5]], **scale)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_kinetic_part_of_the_pressure(frames, n_ranks: int):
    """The trace of pressure without its virial is 2/3 of the kinetic energy per volume."""
    c = columns(frames[n_ranks])
    kinetic = (c["pressure"] - c["virial"])[:, :3].mean(1) * c["vol"][:, 0] / PRESSURE_FACTOR["metal"]
    np.testing.assert_allclose(kinetic, 2 / 3 * c["ke"][:, 0], rtol=1e-6)


def test_heat_flux_on_any_number_of_ranks(frames):
    """heat/flux, with stress and with centroid stress, and all other columns are equal on 1, 2 and 4 ranks."""
    flux = columns(frames[1])["flux"]
    assert np.abs(flux[:, 3:]).max() > 1e-2  # the virial part is not silently zero
    for n_ranks in (2, 4):
        np.testing.assert_allclose(frames[n_ranks], frames[1], rtol=1e-7, atol=1e-5)
