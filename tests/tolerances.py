"""Agreement that tests ask for, in one place."""

#: LAMMPS against the Python model with explicit images: energy eV/atom, forces eV/angstrom, virial relative.
LAMMPS = {
    "float64": {"energy": 1e-10, "forces": 1e-9, "virial": 1e-9},
    "float32": {"energy": 2e-5, "forces": 5e-5, "virial": 1e-4},
    # fused engine: its radial tables are within 1e-6 of the networks
    "tables": {"energy": 1e-8, "forces": 1e-7, "virial": 1e-6},
}
#: Published code's numbers, relative to the largest value.
PUBLISHED = 1e-10
#: Invariance of the energy in float64 (random weights), relative to the energy.
INVARIANCE = 1e-10
#: Forces against central differences, relative to the largest force.
FINITE_DIFFERENCES = 1e-6
#: Fused engine against its eager twin, and its float32 against its float64 results: energies relative to the largest
#: without references, gradients and direct forces to the largest. float32 was measured up to 1.8e-6 in both.
FUSED = {"float64": 1e-11, "float32": 3e-6}
