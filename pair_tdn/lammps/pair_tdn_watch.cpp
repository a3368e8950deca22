/* ----------------------------------------------------------------------
   Checks of pair_style tdn during a run.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "neigh_list.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace LAMMPS_NS;

/* with NULL a changed type can move an atom into or out of the model, which needs new lists */

void PairTDN::check_types()
{
  const auto &m = *impl;
  for (int i = 0; i < atom->nlocal; i++) {
    const bool inside = is_of_model(atom->type[i]) && !is_taken_out(i);
    if (inside != (m.rows.row_of_atom()[i] >= 0))
      fail_here(FLERR,
                "Pair style tdn: atom {} has entered or left the model by a new type between "
                "rebuilds of the neighbor lists before step {}: {}",
                atom->tag[i], update->ntimestep,
                m.types_taken_out.empty() ? "give every type an element"
                                          : "leave out neigh_modify exclude type");
  }
}

/* index of the first number that is not finite, -1 if all are finite */

static int64_t first_not_finite(const std::optional<tdn::Rows> &rows)
{
  if (!rows) return -1;
  int64_t found = -1;
  tdn::with_numbers(*rows, [&](const auto *values) {
    for (int64_t k = 0; k < rows->size() && found < 0; k++)
      if (!std::isfinite(values[k])) found = k;
  });
  return found;
}

/* a number that is not finite must not spread silently */

void PairTDN::check_finite(const Results &results)
{
  const auto &m = *impl;
  const char *what = "force";
  int i = -1;
  if (const auto k = first_not_finite(m.energies_of(results)); k >= 0) {
    what = "energy";
    i = m.rows.atom_of_row(k);
  } else if (const auto e = first_not_finite(results.edge_gradients); e >= 0) {
    i = m.graph.center_atom(m.graph.row_of_edge(e / 3));
  } else if (const auto d = first_not_finite(results.direct_forces); d >= 0) {
    i = m.rows.atom_of_row(d / 3);
  }
  if (i >= 0)
    fail_here(
        FLERR,
        "Pair style tdn: the {} of atom {} is not a finite number at step {} on rank {}: look "
        "for overlapping atoms or use a smaller time step",
        what, atom->tag[i], update->ntimestep, comm->me);
}

/* once for every rebuild of LAMMPS's lists; collective */

void PairTDN::watch_rebuild()
{
  warn_of_closest_pair();
  if (!impl->cost) estimate_cost();
  check_memory();
  if (!impl->plan_printed) print_plan();
}

/* ---------------------------------------------------------------------- */

void PairTDN::note_closest_pair()
{
  auto &m = *impl;
  const auto &least = m.metadata().min_distances;
  for (size_t k = 0; k < least.size(); k++) {
    const auto &[squared, atoms] = m.graph.closest()[k];
    const double distance = std::sqrt(squared) / m.units.angstrom;
    const double share = distance / least[k];
    if (share >= (m.closest ? m.closest->share : 1.0)) continue;
    m.closest = {
        share,
        distance,
        static_cast<double>(k),
        {static_cast<double>(atom->tag[atoms[0]]), static_cast<double>(atom->tag[atoms[1]])},
        static_cast<double>(update->ntimestep)};
  }
}

/* one warning, about the pair of all ranks that was farthest below its limit since the last rebuild
 */

void PairTDN::warn_of_closest_pair()
{
  auto &m = *impl;
  const auto &model = m.metadata();
  if (m.warned_about_distance || !model.knows_distances()) return;
  struct {
    double share;
    int rank;
  } mine{m.closest ? m.closest->share : INFINITY, comm->me}, least;
  MPI_Allreduce(&mine, &least, 1, MPI_DOUBLE_INT, MPI_MINLOC, world);
  if (std::isinf(least.share)) return;
  m.warned_about_distance = true;
  Impl::ClosePair pair = m.closest.value_or(Impl::ClosePair{});
  MPI_Bcast(&pair, sizeof(pair) / sizeof(double), MPI_DOUBLE, least.rank, world);
  if (comm->me != 0) return;
  const auto species = std::div(static_cast<int>(pair.species), model.n_elements());
  error->warning(FLERR,
                 "Pair style tdn: atoms {:.0f} and {:.0f} ({} and {}) are {:.4g} angstrom apart at "
                 "step {:.0f}, closer than any such pair of the training data ({:.4g}): the model "
                 "extrapolates, so check the structure (this warning appears once)",
                 pair.atoms[0], pair.atoms[1], model.elements[species.quot],
                 model.elements[species.rem], pair.distance, pair.step, pair.distance / pair.share);
}
