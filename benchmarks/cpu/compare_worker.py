"""One build's side of compare_builds.py: prepares a case, then runs a block of steps for each line that comes in.

Imports what every version of tdn had under some name, because it runs in environments of several.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from water import water_box

from tdn.lammps import Simulation
from tdn.model import TDN, ModelConfig

try:
    from tdn.deployment import write_archive
except ImportError:  # versions up to 0.1.0
    from tdn.deploy import write_archive  # type: ignore[no-redef]

SETTINGS = """
timestep 0.0001
fix integrate all nve
neigh_modify every 10 delay 0 check no
thermo 1000000
run 0 post no
"""
#: Steps of LAMMPS between two times: a new neighbor list is one of ten.
STEPS = 10


def archive(case: dict[str, Any], folder: Path) -> Path:
    """The model of the case in float32."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    sizes = {"cutoff": 4.5, "n_layers": 4, "n_heads": 4, "n_channels": case["channels"], "l_max": case["l_max"]}
    model = TDN(ModelConfig(("O", "H"), **sizes)).eval()
    write_archive(model, folder / "model.tdn.pt", torch.float32)
    torch.set_default_dtype(torch.float32)
    return folder / "model.tdn.pt"


def main() -> None:
    """Serve until the input ends."""
    case, folder = json.loads(sys.argv[1]), Path(tempfile.mkdtemp())
    torch.set_num_threads(1)
    path, log = archive(case, folder), folder / "log.lammps"
    options: dict[str, Any] = {"elements": ["O", "H"], "keywords": "device cpu", "log": log}
    with Simulation(water_box(tuple(case["copies"])), path, **options) as simulation:
        simulation.command(SETTINGS)
        print(json.dumps({"atoms": int(simulation.lmp.get_natoms())}), flush=True)
        for _ in sys.stdin:
            begin = time.process_time()
            simulation.command(f"run {STEPS} pre no post no")
            print(json.dumps({"seconds": (time.process_time() - begin) / STEPS}), flush=True)
        simulation.command("run 1")
        kilobytes = float(re.findall(r"peak memory (\S+) KB per atom", log.read_text())[-1])
    print(json.dumps({"kilobytes": kilobytes}), flush=True)


if __name__ == "__main__":
    main()
