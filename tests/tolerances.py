"""Agreement that tests ask for, in one place."""

#: LAMMPS against the Python model with explicit images: energy eV/atom, forces eV/angstrom, virial relative.
LAMMPS = {
    "float64": {"energy": 1e-10, "forces": 1e-9, "virial": 1e-9},
    "float32": {"energy": 1e-5, "forces": 5e-5, "virial": 1e-4},
}
#: Published code's numbers, relative to the largest value.
PUBLISHED = 1e-10
#: Invariance of the energy in float64 (random weights), relative to the energy.
INVARIANCE = 1e-10
#: Forces against central differences, relative to the largest force.
FINITE_DIFFERENCES = 1e-6
