/* ----------------------------------------------------------------------
   pair_style tdn within a step: from neighbor lists to forces and tallies.
   tdn::Evaluator runs the model.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

using namespace LAMMPS_NS;

// order of LAMMPS's virials: xx yy zz xy xz yz yx zx zy
static constexpr int ROW[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};
static constexpr int COLUMN[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};

/* called in every step; collective, even without atoms */

void PairTDN::compute(int eflag, int vflag)
{
  if (!impl->prepared)
    error->all(FLERR, "Pair style tdn: settings changed after the last run: leave out pre no");
  const double begin = platform::walltime();
  ev_init(eflag, vflag);
  update_lists();
  Results results;
  guarded([&] { results = evaluate(0); }, false);
  if (impl->options.averages() || impl->deviation_due()) evaluate_ensemble(results);
  check_finite(results);
  add_forces(results, atom->f);
  if (eflag_either) tally_energy(results);
  if (vflag_either) tally_virial(results);
  impl->seconds += platform::walltime() - begin;
}

/* rows and the plan of messages follow LAMMPS's lists; edges follow the positions */

void PairTDN::update_lists()
{
  auto &m = *impl;
  const bool rebuild = neighbor->ago == 0 || m.stale;
  if (rebuild) {
    check_lists();
    // pairs approach by less than the skin until LAMMPS rebuilds its lists again
    m.rows.rebuild(atoms_of_model(), *list, (m.cutoff() + neighbor->skin) * (1.0 + 1e-9));
    m.exchange.set_plan(m.rows.n_owned(), m.rows.wanted());
    m.stale = false;
  }
  check_types();
  build_graph();
  note_closest_pair();
  if (rebuild) watch_rebuild();
}

/* types are read in every step: fixes such as sgcmc change them between rebuilds */

void PairTDN::build_graph()
{
  auto &m = *impl;
  try {
    m.graph.build({.positions = atom->x,
                   .ilist = m.rows.atoms().data(),
                   .n_centers = static_cast<int>(m.rows.n_owned()),
                   .numneigh = list->numneigh,
                   .firstneigh = list->firstneigh,
                   .neighbor_mask = NEIGHMASK,
                   .row_of_atom = m.rows.row_of_atom().data(),
                   .type = atom->type,
                   .species_of_type = m.species_of_type.data()});
  } catch (const tdn::OverlapError &caught) {
    fail_here(FLERR,
              "Pair style tdn: atoms {} and {} are at the same point at step {}: remove one of "
              "them or use a smaller time step",
              atom->tag[caught.atoms[0]], atom->tag[caught.atoms[1]], update->ntimestep);
  } catch (const tdn::OutOfReachError &caught) {
    fail_here(FLERR,
              "Pair style tdn: atoms {} and {} came within the cutoff at step {} from beyond the "
              "cutoff plus the skin of {}, so the neighbor lists are too old: write neigh_modify "
              "every 1 delay 0 check yes or use a larger skin",
              atom->tag[caught.atoms[0]], atom->tag[caught.atoms[1]], update->ntimestep,
              neighbor->skin);
  }
}

/* energies and forces of one of the models */

PairTDN::Results PairTDN::evaluate(size_t model)
{
  auto &m = *impl;
  auto &evaluator = *m.evaluators[model];
  const Results results = evaluator.evaluate(m.graph.view(), m.exchange, m.forces);
  m.temporary_bytes = std::max(m.temporary_bytes, evaluator.temporary_bytes());
  if (m.options.removes_net_force() && results.direct_forces)
    remove_net_force(*results.direct_forces);
  return results;
}

/* direct forces do not add up to zero: their mean would accelerate the whole system */

void PairTDN::remove_net_force(const tdn::Rows &forces)
{
  double mine[4] = {0.0, 0.0, 0.0, static_cast<double>(forces.n)}, all[4];
  tdn::with_numbers(forces, [&](const auto *f) {
    for (int64_t k = 0; k < forces.size(); k++) mine[k % 3] += f[k];
  });
  MPI_Allreduce(mine, all, 4, MPI_DOUBLE, MPI_SUM, world);
  if (all[3] == 0.0) return;
  tdn::with_numbers(forces, [&](auto *f) {
    for (int64_t k = 0; k < forces.size(); k++) f[k] -= all[k % 3] / all[3];
  });
}

/* F_i = -dE/dr_i; the neighbor of an edge may be a ghost, whose force LAMMPS returns to its owner
 */

void PairTDN::add_forces(const Results &results, double **f)
{
  auto &m = *impl;
  const double unit = m.force_unit();
  if (results.edge_gradients)
    tdn::with_numbers(*results.edge_gradients, [&](const auto *g) {
      for (int64_t row = 0; row < m.graph.n_owned(); row++) {
        double *fi = f[m.graph.center_atom(row)];
        for (int64_t e = m.graph.first_edge(row); e < m.graph.first_edge(row + 1); e++) {
          double *fj = f[m.graph.neighbor_atom(e)];
          for (int k = 0; k < 3; k++) {
            fi[k] += unit * g[3 * e + k];
            fj[k] -= unit * g[3 * e + k];
          }
        }
      }
    });
  if (results.direct_forces)
    tdn::with_numbers(*results.direct_forces, [&](const auto *g) {
      const double sign = m.forces == tdn::ForceKind::CORRECTION ? -unit : unit;
      for (int64_t row = 0; row < m.rows.n_owned(); row++)
        for (int k = 0; k < 3; k++) f[m.rows.atom_of_row(row)][k] += sign * g[3 * row + k];
    });
}

/* a correction of direct forces adds no energy: the direct forces have already added it */

void PairTDN::tally_energy(const Results &results)
{
  const auto &m = *impl;
  if (m.forces == tdn::ForceKind::CORRECTION) return;
  for (int64_t row = 0; row < m.rows.n_owned(); row++) {
    const double energy = m.units.eV * results.atom_energies[row];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[m.rows.atom_of_row(row)] += energy;
  }
}

/* W = -sum r_ij (x) dE/dr_ij. The whole virial of an edge is given to its neighbor j, whose motion
   does the work r_ij (dE/dr_ij . v_j) on the center's energy: if atom energies depend only on the
   edges of their own center, compute heat/flux with these virials is exact (Fan et al.,
   Phys. Rev. B 92, 094301). With more hops no division among atoms is */

void PairTDN::tally_virial(const Results &results)
{
  auto &m = *impl;
  if (!results.edge_gradients) {
    if (comm->me == 0 && !m.warned_about_virial && !corrected())
      error->warning(FLERR,
                     "Pair style tdn: direct forces have no virial, pressure lacks their part");
    m.warned_about_virial = true;
    return;
  }
  tdn::with_numbers(*results.edge_gradients, [&](const auto *g) {
    for (int64_t e = 0; e < m.graph.n_edges(); e++, g += 3) {
      const int j = m.graph.neighbor_atom(e);
      const auto r = m.graph.vector(e);
      double w[9];
      for (int k = 0; k < 9; k++) w[k] = -m.units.eV * r[ROW[k]] * g[COLUMN[k]];
      for (int k = 0; k < 6; k++) {
        if (vflag_global) virial[k] += w[k];
        if (vflag_atom) vatom[j][k] += w[k];
      }
      if (cvflag_atom)
        for (int k = 0; k < 9; k++) cvatom[j][k] += w[k];
    }
  });
}

/* ---------------------------------------------------------------------- */

int PairTDN::pack_forward_comm(int n, int *atoms, double *buffer, int /*pbc_flag*/, int * /*pbc*/)
{
  return impl->rows.pack_forward(n, atoms, buffer);
}

void PairTDN::unpack_forward_comm(int n, int first, double *buffer)
{
  impl->rows.unpack_forward(n, first, buffer);
}
