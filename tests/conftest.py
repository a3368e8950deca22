"""Fixtures for every test: one torch thread, and reference data that may be missing."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def one_torch_thread():
    """Tests and MPI ranks share the cores, and some tests change the number: other sums have other last digits."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of reference data kept beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("reference data is not beside this checkout (../shared/data)")
    return SHARED_DATA
