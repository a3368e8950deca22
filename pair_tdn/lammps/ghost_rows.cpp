// LAMMPS relays messages through ghosts in between, so every atom stores its owner, even atoms that
// no owned atom sees.

#include "ghost_rows.h"

#include "atom.h"
#include "comm.h"
#include "lammps.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"

#include <algorithm>

namespace tdn {

void GhostRows::rebuild(std::vector<int> atoms, const LAMMPS_NS::NeighList &list, double reach)
{
  atom_of_row_ = std::move(atoms);
  map_owned();
  ask_owners();
  map_ghosts(ghosts_in_reach(list, reach));
}

void GhostRows::map_owned()
{
  row_of_atom_.assign(lmp_->atom->nlocal + lmp_->atom->nghost, NeighborView::OUTSIDE);
  for (size_t row = 0; row < atom_of_row_.size(); ++row)
    row_of_atom_[atom_of_row_[row]] = static_cast<int>(row);
}

void GhostRows::ask_owners()
{
  owner_.resize(row_of_atom_.size());
  for (int i = 0; i < lmp_->atom->nlocal; ++i) owner_[i] = {lmp_->comm->me, row_of_atom_[i]};
  lmp_->comm->forward_comm(pair_, COMM_FORWARD);
}

/// Ghosts of other ranks within reach of an owned atom. The ghost shell has corners and, with
/// another pair style, may be thicker than this model's cutoff.
std::vector<int> GhostRows::ghosts_in_reach(const LAMMPS_NS::NeighList &list, double reach) const
{
  const double *const *x = lmp_->atom->x;
  const int n_local = lmp_->atom->nlocal, me = lmp_->comm->me;
  std::vector<char> seen(row_of_atom_.size() - n_local, 0);
  for (const int i : atom_of_row_)
    for (int k = 0; k < list.numneigh[i]; ++k) {
      const int j = list.firstneigh[i][k] & NEIGHMASK;
      if (j < n_local || seen[j - n_local] || owner_[j].rank == me || owner_[j].row < 0) continue;
      const double r[3] = {x[j][0] - x[i][0], x[j][1] - x[i][1], x[j][2] - x[i][2]};
      if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] <= reach * reach) seen[j - n_local] = 1;
    }
  std::vector<int> out;
  for (size_t g = 0; g < seen.size(); ++g)
    if (seen[g]) out.push_back(n_local + static_cast<int>(g));
  return out;
}

void GhostRows::map_ghosts(const std::vector<int> &seen)
{
  wanted_.clear();
  for (const int g : seen) wanted_.push_back(owner_[g]);
  std::sort(wanted_.begin(), wanted_.end());
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  for (size_t g = lmp_->atom->nlocal; g < row_of_atom_.size(); ++g) {
    if (owner_[g].row < 0) row_of_atom_[g] = NeighborView::OUTSIDE;
    else if (owner_[g].rank == lmp_->comm->me) row_of_atom_[g] = owner_[g].row;
    else row_of_atom_[g] = NeighborView::OUT_OF_REACH;
  }
  for (const int g : seen) {
    const auto place = std::lower_bound(wanted_.begin(), wanted_.end(), owner_[g]);
    row_of_atom_[g] = static_cast<int>(n_owned() + (place - wanted_.begin()));
  }
}

int GhostRows::pack_forward(int n, const int *atoms, double *buffer) const
{
  for (int k = 0; k < n; ++k) {
    *buffer++ = owner_[atoms[k]].rank;
    *buffer++ = owner_[atoms[k]].row;
  }
  return n * COMM_FORWARD;
}

void GhostRows::unpack_forward(int n, int first, const double *buffer)
{
  for (int k = 0; k < n; ++k, buffer += COMM_FORWARD)
    owner_[first + k] = {static_cast<int>(buffer[0]), static_cast<int>(buffer[1])};
}

double GhostRows::memory_usage() const
{
  return static_cast<double>((row_of_atom_.capacity() + atom_of_row_.capacity()) * sizeof(int) +
                             (owner_.capacity() + wanted_.capacity()) * sizeof(RemoteRow));
}

}    // namespace tdn
