/* ----------------------------------------------------------------------
   LAMMPS verbs of pair_style tdn within a step: lists in, forces and tallies
   out. The model itself is run by tdn::Evaluator.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <cmath>

using namespace LAMMPS_NS;

/* called in every step */

void PairTDN::compute(int eflag, int vflag)
{
  if (!impl->prepared)
    error->all(FLERR, "Pair style tdn: settings changed after the last run: leave out pre no");
  ev_init(eflag, vflag);
  guarded([&] { evaluate(); }, false);
  check_finite();
  add_forces();
  if (eflag_either) tally_energy();
  if (vflag_either) tally_virial();
}

/* LAMMPS lists -> graph -> energies and forces; collective, with no atoms too */

void PairTDN::evaluate()
{
  auto &m = *impl;
  if (neighbor->ago == 0 || m.stale) {
    m.exchange.rebuild(*list, m.species_of_type);
    m.stale = false;
  }
  check_types();
  build_graph();
  const auto result = m.evaluator->evaluate(m.graph.tensors(), m.exchange, m.forces);
  const bool direct = m.forces == tdn::ForceKind::DIRECT;
  m.energies = result.atom_energies.to(at::kCPU, at::kDouble).contiguous();
  m.gradients = (direct ? result.direct_forces : result.edge_gradients)
                    .to(at::kCPU, at::kDouble)
                    .contiguous();
}

/* with NULL a changed type can change who takes part, which only new lists can follow */

void PairTDN::check_types()
{
  const auto &m = *impl;
  for (int i = 0; i < atom->nlocal; i++) {
    const int type = atom->type[i];
    const bool skipped = list->iskip && list->iskip[type];    // pair hybrid gave it away
    const bool inside = m.species_of_type[type] >= 0 && !skipped;
    if (inside != (m.exchange.row_of_atom()[i] >= 0))
      error->one(FLERR,
                 "Pair style tdn: atom {} has entered or left the model by a new type between "
                 "rebuilds of the neighbor lists before step {}: give every type an element",
                 atom->tag[i], update->ntimestep);
  }
}

/* types are read in every step: commands like fix sgcmc change them between rebuilds */

void PairTDN::build_graph()
{
  auto &m = *impl;
  try {
    m.graph.build({.positions = atom->x,
                   .ilist = list->ilist,
                   .n_centers = list->inum,
                   .numneigh = list->numneigh,
                   .firstneigh = list->firstneigh,
                   .neighbor_mask = NEIGHMASK,
                   .row_of_atom = m.exchange.row_of_atom().data(),
                   .type = atom->type,
                   .species_of_type = m.species_of_type.data()});
  } catch (const tdn::OverlapError &caught) {
    error->one(FLERR,
               "Pair style tdn: atoms {} and {} are at the same point at step {}: remove one of "
               "them or use a smaller time step",
               atom->tag[caught.atoms[0]], atom->tag[caught.atoms[1]], update->ntimestep);
  }
}

/* a number that is none must not travel on silently */

void PairTDN::check_finite()
{
  const auto &m = *impl;
  const double *energies = m.energies.const_data_ptr<double>();
  const double *gradients = m.gradients.const_data_ptr<double>();
  const bool direct = m.forces == tdn::ForceKind::DIRECT;
  const char *what = nullptr;
  int i = -1;
  for (int64_t k = 0; k < m.energies.numel() && !what; k++)
    if (!std::isfinite(energies[k])) {
      what = "energy";
      i = m.exchange.atom_of_row(k);
    }
  for (int64_t k = 0; k < m.gradients.numel() && !what; k++)
    if (!std::isfinite(gradients[k])) {
      what = "force";
      i = direct ? m.exchange.atom_of_row(k / 3) : m.graph.center_atom(k / 3);
    }
  if (what)
    error->one(
        FLERR,
        "Pair style tdn: the {} of atom {} is not a finite number at step {} on rank {}: look "
        "for overlapping atoms or use a smaller time step",
        what, atom->tag[i], update->ntimestep, comm->me);
}

/* F_i = -dE/dr_i; the neighbor of an edge may be a ghost, whose force LAMMPS sends back */

void PairTDN::add_forces()
{
  auto &m = *impl;
  double **f = atom->f;
  const double unit = m.force_unit();
  const double *g = m.gradients.const_data_ptr<double>();
  if (m.forces == tdn::ForceKind::DIRECT) {
    for (int64_t row = 0; row < m.exchange.n_owned(); row++, g += 3)
      for (int k = 0; k < 3; k++) f[m.exchange.atom_of_row(row)][k] += unit * g[k];
    return;
  }
  for (int64_t e = 0; e < m.graph.n_edges(); e++, g += 3) {
    double *fi = f[m.graph.center_atom(e)], *fj = f[m.graph.neighbor_atom(e)];
    for (int k = 0; k < 3; k++) {
      fi[k] += unit * g[k];
      fj[k] -= unit * g[k];
    }
  }
}

/* ---------------------------------------------------------------------- */

void PairTDN::tally_energy()
{
  const auto &m = *impl;
  const double *energies = m.energies.const_data_ptr<double>();
  for (int64_t row = 0; row < m.exchange.n_owned(); row++) {
    const double energy = m.units.eV * energies[row];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[m.exchange.atom_of_row(row)] += energy;
  }
}

/* W = -sum r_ij (x) dE/dr_ij; both ends of an edge get half. With more than one layer an edge also
   acts on energies of atoms further away, so that no division among atoms is unique */

void PairTDN::tally_virial()
{
  static constexpr int ROW[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};    // xx yy zz xy xz yz yx zx zy
  static constexpr int COLUMN[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};
  auto &m = *impl;
  if (m.forces == tdn::ForceKind::DIRECT) {
    if (comm->me == 0 && !m.warned_about_virial)
      error->warning(FLERR,
                     "Pair style tdn: direct forces have no virial, pressure lacks their part");
    m.warned_about_virial = true;
    return;
  }
  const double unit = m.force_unit();
  const double *g = m.gradients.const_data_ptr<double>();
  for (int64_t e = 0; e < m.graph.n_edges(); e++, g += 3) {
    const int ends[2] = {m.graph.center_atom(e), m.graph.neighbor_atom(e)};
    double w[9];
    for (int k = 0; k < 9; k++) w[k] = -unit * m.graph.vector(e)[ROW[k]] * g[COLUMN[k]];
    if (vflag_global)
      for (int k = 0; k < 6; k++) virial[k] += w[k];
    for (const int i : ends) {
      if (vflag_atom)
        for (int k = 0; k < 6; k++) vatom[i][k] += 0.5 * w[k];
      if (cvflag_atom)
        for (int k = 0; k < 9; k++) cvatom[i][k] += 0.5 * w[k];
    }
  }
}

/* ---------------------------------------------------------------------- */

int PairTDN::pack_forward_comm(int n, int *atoms, double *buffer, int /*pbc_flag*/, int * /*pbc*/)
{
  return impl->exchange.pack_forward(n, atoms, buffer);
}

void PairTDN::unpack_forward_comm(int n, int first, double *buffer)
{
  impl->exchange.unpack_forward(n, first, buffer);
}

int PairTDN::pack_reverse_comm(int n, int first, double *buffer)
{
  return impl->exchange.pack_reverse(n, first, buffer);
}

void PairTDN::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  impl->exchange.unpack_reverse(n, atoms, buffer);
}

/* ---------------------------------------------------------------------- */

double PairTDN::memory_usage()
{
  return Pair::memory_usage() + impl->memory_usage();
}

double PairTDN::Impl::memory_usage() const
{
  double bytes = graph.memory_usage() + exchange.memory_usage();
  if (archive) bytes += archive->memory_usage();
  for (const auto &tensor : {energies, gradients})
    if (tensor.defined()) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}
