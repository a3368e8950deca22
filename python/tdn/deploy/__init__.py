"""From a trained model to the archive that LAMMPS runs."""

from tdn.deploy.archive import read_label
from tdn.deploy.deployed import DeployedModel
from tdn.deploy.write import deploy, write_archive

__all__ = ["DeployedModel", "deploy", "read_label", "write_archive"]
