"""Closed-form archives, written once per session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Paths by (name, dtype)."""
    from make_archives import make_archive

    folder = tmp_path_factory.mktemp("archives")
    return {(n, d): make_archive(n, d, folder) for n in ("pair", "message") for d in ("float32", "float64")}
