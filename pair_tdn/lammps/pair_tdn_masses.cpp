/* ----------------------------------------------------------------------
   Warns about masses that do not fit the elements: nothing else would show
   that pair_coeff names the elements in another order than the types.
------------------------------------------------------------------------- */

#include "atomic_masses.h"
#include "pair_tdn_impl.h"

#include "comm.h"

#include <cmath>

using namespace LAMMPS_NS;

/* smallest and largest mass of the atoms of each type, 0 without atoms; collective */

struct MassRange {
  double least = 0.0, greatest = 0.0;
};

static std::vector<MassRange> masses_of_types(const Atom &atom, MPI_Comm world)
{
  const int n = atom.ntypes + 1;
  if (!atom.rmass) {
    std::vector<MassRange> found(n);
    for (int type = 1; type < n; type++)
      if (atom.mass_setflag[type]) found[type] = {atom.mass[type], atom.mass[type]};
    return found;
  }
  std::vector<double> bounds(2 * n,
                             -INFINITY);    // for every type: minus the smallest, the largest
  for (int i = 0; i < atom.nlocal; i++) {
    double *bound = &bounds[2 * atom.type[i]];
    bound[0] = std::max(bound[0], -atom.rmass[i]);
    bound[1] = std::max(bound[1], atom.rmass[i]);
  }
  MPI_Allreduce(MPI_IN_PLACE, bounds.data(), 2 * n, MPI_DOUBLE, MPI_MAX, world);
  std::vector<MassRange> found(n);
  for (int type = 1; type < n; type++)
    if (bounds[2 * type + 1] > 0.0) found[type] = {-bounds[2 * type], bounds[2 * type + 1]};
  return found;
}

/* the mass that is farther from the element's */

static double worse_of(const MassRange &range, double standard)
{
  return standard / range.least > range.greatest / standard ? range.least : range.greatest;
}

/* one warning per type, not again in the next run */

void PairTDN::check_masses()
{
  auto &m = *impl;
  static constexpr double TOLERANCE = 0.2;
  const auto masses = masses_of_types(*atom, world);
  for (int type = 1; type <= atom->ntypes; type++) {
    if (m.species_of_type[type] < 0 || masses[type].least <= 0.0) continue;
    const std::string &element = m.metadata().elements[m.species_of_type[type]];
    const double standard = tdn::atomic_mass(element);
    const double mass = worse_of(masses[type], standard * m.units.dalton) / m.units.dalton;
    if (std::abs(mass / standard - 1.0) <= TOLERANCE || standard == 0.0) continue;
    const std::string text = fmt::format(
        "Pair style tdn: pair_coeff makes type {} {}, an element of mass {:.5g}, but its mass is "
        "{:.5g} g/mol: check the order of the elements, unless another mass is meant{}",
        type, element, standard, mass, element == "H" ? " (deuterium has 2.014)" : "");
    if (m.mass_warnings.insert(text).second && comm->me == 0) error->warning(FLERR, text);
  }
}
