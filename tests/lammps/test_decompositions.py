"""Checklist "fix balance (shift, rcb), comm_style tiled, processors grids": the same digits however space is cut."""

from pathlib import Path

from solid import STATE, completed, pair, solid, start
from test_trajectories import thermo_blocks

#: Commands before read_data, and fixes of the run. With four ranks along one axis a subdomain is 2.1 angstrom thin.
CUTS = {
    "x only": ("processors * 1 1", ""),
    "y only": ("processors 1 * 1", ""),
    "z only": ("processors 1 1 *", ""),
    "two axes": ("processors * * 1", ""),
    "balance shift": ("", "fix 2 all balance 10 1.0 shift xyz 5 1.0"),
    "tiled, balance rcb": ("comm_style tiled", "fix 2 all balance 10 1.0 rcb"),
    "tiled, balanced once": ("comm_style tiled", "balance 1.0 rcb"),
    "tiled, brick cut": ("comm_style tiled", ""),
}


def trajectory(model: Path, folder: Path, cuts: dict[str, tuple[str, str]], n_ranks: int) -> list[list[str]]:
    """Thermo lines of 100 steps for each way to cut space."""
    text = ""
    for before, commands in cuts.values():
        # a third of the box is empty: balancing has something to do
        atoms = solid((4, 4, 4), mixed=True)
        atoms.cell[0, 0] = 12.0
        text += f"clear\n{start(atoms, folder, before)}{pair(model)}{STATE}thermo 25\nneighbor 0.4 bin\n"
        text += "thermo_style custom step temp pe etotal press\nthermo_modify norm no format float %.8g\n"
        text += "velocity all create 3000 3 mom yes loop geom\nneigh_modify every 1 delay 0 check yes\n"
        text += f"timestep 0.0005\nfix 1 all nve\n{commands}\nrun 100\n"
    output = completed(text, n_ranks, folder, timeout=300).output
    builds = [int(line.split("=")[1]) for line in output.splitlines() if line.startswith("Neighbor list builds")]
    assert min(builds) > 3 and len(builds) == len(cuts)
    return thermo_blocks(output)


def test_cuts(archives, tmp_path: Path):
    """1, 2 and 4 ranks; grids along each axis, brick and tiled, balance by shift and rcb: eight digits of 100 steps."""
    model = archives["message", "float64"]
    (alone,) = trajectory(model, tmp_path, {"one rank": ("", "")}, 1)
    assert len(alone) == 5
    for n_ranks in (2, 4):
        cuts = {name: cut for name, cut in CUTS.items() if n_ranks == 4 or name != "two axes"}
        for name, block in zip(cuts, trajectory(model, tmp_path, cuts, n_ranks), strict=True):
            assert block == alone, (n_ranks, name)
