/* ----------------------------------------------------------------------
   pair_style tdn before a run: requirements on the simulation.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "domain.h"
#include "fix.h"
#include "force.h"
#include "modify.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <set>

using namespace LAMMPS_NS;

/* called before every run */

void PairTDN::init_style()
{
  check_simulation();
  guarded([&] { impl->units = tdn::units_of(update->unit_style); }, true);
  if (impl->archives.empty())
    error->all(FLERR, "Pair style tdn: no model is loaded: write pair_coeff * * "
                      "file.tdn.pt element ... after pair_style");
  if (impl->evaluators.empty()) {
    std::set<int> species(impl->species_of_type.begin(), impl->species_of_type.end());
    species.erase(-1);
    load_models(impl->archives, {species.begin(), species.end()});
    announce();
  }
  check_communication();
  check_direct_forces();
  check_masses();
  check_repulsion();
  auto &m = *impl;
  m.graph = tdn::NeighborGraph(m.metadata().cutoff, 1.0 / m.units.angstrom,
                               m.metadata().n_elements(), m.evaluators.front()->precision());
  m.exchange.reset_statistics();
  m.temporary_bytes = m.seconds = 0;
  m.stale = true;
  m.prepared = true;
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

/* ---------------------------------------------------------------------- */

void PairTDN::check_simulation()
{
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style tdn: newton pair is off but forces on ghost atoms must be sent "
                      "back: write newton on before the box is created");
  if (atom->tag_enable == 0)
    error->all(FLERR, "Pair style tdn: atoms have no IDs: write atom_modify id yes");
  if (domain->dimension != 3)
    error->all(FLERR,
               "Pair style tdn: the model is three-dimensional but dimension is {}: write "
               "dimension 3",
               domain->dimension);
}

/* ---------------------------------------------------------------------- */

void PairTDN::check_communication()
{
  const double cutoff = impl->cutoff();
  // LAMMPS's default skin is a millimeter in units si
  if (neighbor->skin > 10.0 * cutoff)
    error->all(
        FLERR,
        "Pair style tdn: the neighbor skin {} is more than ten times the model's cutoff {}, so "
        "every atom would be a neighbor of all: write neighbor {} bin",
        neighbor->skin, cutoff, 2.0 * impl->units.angstrom);
  if (comm->mode == Comm::SINGLE && comm->cutghostuser > 0.0 && comm->cutghostuser < cutoff)
    error->all(FLERR,
               "Pair style tdn: comm_modify cutoff {} is below the model's cutoff {}: write "
               "comm_modify cutoff {} or leave it out",
               comm->cutghostuser, cutoff, cutoff + neighbor->skin);
}

/* r-RESPA with the gradient's correction of direct forces as outer level */

bool PairTDN::corrected() const
{
  return utils::strmatch(update->integrate_style, "^respa");
}

/* forces that are not a gradient suit only some uses */

void PairTDN::check_direct_forces()
{
  if (impl->forces == tdn::ForceKind::CORRECTION && !corrected())
    error->all(
        FLERR,
        "Pair style tdn: forces correction is the outer level of run_style respa but the run "
        "style is {}: write run_style respa 2 n hybrid 1 2, or forces gradient",
        update->integrate_style);
  if (impl->forces != tdn::ForceKind::DIRECT) return;
  if (update->whichflag == 2)
    error->all(FLERR,
               "Pair style tdn: direct forces are not the gradient of an energy, so there is "
               "no minimum to find: write forces gradient");
  if (comm->me != 0 || corrected()) return;
  for (const auto *fix : modify->get_fix_list()) {
    if (utils::strmatch(fix->style, "^nve"))
      error->warning(FLERR,
                     "Pair style tdn: fix {} conserves no energy with direct forces: write forces "
                     "gradient or use a thermostat",
                     fix->style);
    if (utils::strmatch(fix->style, "^np[th]") || utils::strmatch(fix->style, "^press"))
      error->warning(FLERR,
                     "Pair style tdn: fix {} follows a pressure that lacks the virial of direct "
                     "forces: write forces gradient",
                     fix->style);
  }
}

/* cutoff of a pair of types in LAMMPS units */

double PairTDN::init_one(int, int)
{
  return impl->cutoff();
}
