// Ghosts of ghosts: LAMMPS relays messages through intermediate atoms, so the staging buffer has a
// place for every atom, also for those without a row of their own.

#include "ghost_exchange.h"

#include "atom.h"
#include "comm.h"
#include "lammps.h"
#include "neigh_list.h"
#include "pair.h"

#include <algorithm>
#include <cstring>

namespace tdn {

GhostExchange::GhostExchange(LAMMPS_NS::LAMMPS *lmp, LAMMPS_NS::Pair *pair) : lmp_(lmp), pair_(pair)
{
}

void GhostExchange::rebuild(const LAMMPS_NS::NeighList &list,
                            const std::vector<int> &species_of_type)
{
  map_owned(list);
  map_ghosts(species_of_type);
  const int mine = remote_.empty() ? 0 : 1;
  int any = 0;
  MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, lmp_->world);
  any_remote_ = any != 0;
}

void GhostExchange::map_owned(const LAMMPS_NS::NeighList &list)
{
  const auto *atom = lmp_->atom;
  const int n_atoms = atom->nlocal + atom->nghost;
  n_owned_ = list.inum;
  atom_of_row_.assign(list.ilist, list.ilist + list.inum);
  row_of_atom_.assign(n_atoms, -1);
  for (int row = 0; row < list.inum; ++row) row_of_atom_[list.ilist[row]] = row;
}

/// Each ghost learns its owner's rank and index there, which tells images from remote atoms.
void GhostExchange::map_ghosts(const std::vector<int> &species_of_type)
{
  const int n_local = lmp_->atom->nlocal, n_atoms = n_local + lmp_->atom->nghost;
  const int me = lmp_->comm->me;
  stage(2, false);
  for (int i = 0; i < n_local; ++i) {
    staged<double>(i)[0] = me;
    staged<double>(i)[1] = i;
  }
  lmp_->comm->forward_comm(pair_, doubles_);
  remote_.clear();
  for (int g = n_local; g < n_atoms; ++g) {
    if (species_of_type[lmp_->atom->type[g]] < 0) continue;
    if (static_cast<int>(staged<double>(g)[0]) == me) {
      row_of_atom_[g] = row_of_atom_[static_cast<int>(staged<double>(g)[1])];
    } else {
      row_of_atom_[g] = static_cast<int>(n_rows());
      remote_.push_back(g);
    }
  }
}

at::Tensor GhostExchange::forward(const at::Tensor &owned)
{
  if (!any_remote_) return owned;
  const auto here = owned.to(at::kCPU).contiguous();
  auto rows = at::empty({n_rows(), owned.size(1)}, here.options());
  rows.slice(0, 0, n_owned_).copy_(here);
  if (here.scalar_type() == at::kFloat) forward_columns<float>(here, rows);
  else forward_columns<double>(here, rows);
  return rows.to(owned.device());
}

at::Tensor GhostExchange::adjoint(const at::Tensor &gradient)
{
  if (!any_remote_) return gradient;
  const auto here = gradient.to(at::kCPU).contiguous();
  auto owned = here.slice(0, 0, n_owned_).clone();
  if (here.scalar_type() == at::kFloat) adjoint_columns<float>(here, owned);
  else adjoint_columns<double>(here, owned);
  return owned.to(gradient.device());
}

/// Columns [begin, begin + count) of a width, as many as fit into one message.
template <typename T> static int columns_at(int64_t begin, int64_t width)
{
  constexpr int64_t fit = GhostExchange::CHUNK * sizeof(double) / sizeof(T);
  return static_cast<int>(std::min(fit, width - begin));
}

template <typename T> static int doubles_for(int columns)
{
  return static_cast<int>((columns * sizeof(T) + sizeof(double) - 1) / sizeof(double));
}

template <typename T> void GhostExchange::forward_columns(const at::Tensor &owned, at::Tensor &rows)
{
  const int64_t width = owned.size(1);
  const T *from = owned.const_data_ptr<T>();
  T *to = rows.mutable_data_ptr<T>() + n_owned_ * width;
  for (int64_t begin = 0, count; begin < width; begin += count) {
    count = columns_at<T>(begin, width);
    stage(doubles_for<T>(count), sizeof(T) == sizeof(float));
    for (int64_t row = 0; row < n_owned_; ++row)
      std::copy_n(from + row * width + begin, count, staged<T>(atom_of_row_[row]));
    lmp_->comm->forward_comm(pair_, doubles_);
    for (size_t k = 0; k < remote_.size(); ++k)
      std::copy_n(staged<T>(remote_[k]), count, to + k * width + begin);
  }
}

template <typename T>
void GhostExchange::adjoint_columns(const at::Tensor &gradient, at::Tensor &owned)
{
  const int64_t width = gradient.size(1);
  const T *from = gradient.const_data_ptr<T>() + n_owned_ * width;
  T *to = owned.mutable_data_ptr<T>();
  for (int64_t begin = 0, count; begin < width; begin += count) {
    count = columns_at<T>(begin, width);
    stage(doubles_for<T>(count), sizeof(T) == sizeof(float));
    // Messages add up: atoms that only relay must add nothing of their own.
    std::fill(staging_.begin(), staging_.end(), 0);
    for (size_t k = 0; k < remote_.size(); ++k)
      std::copy_n(from + k * width + begin, count, staged<T>(remote_[k]));
    lmp_->comm->reverse_comm(pair_, doubles_);
    for (int64_t row = 0; row < n_owned_; ++row) {
      const T *sum = staged<T>(atom_of_row_[row]);
      for (int64_t c = 0; c < count; ++c) to[row * width + begin + c] += sum[c];
    }
  }
}

/// What the buffer held before stays in it; nobody reads the places that are not written.
void GhostExchange::stage(int doubles, bool single)
{
  doubles_ = doubles;
  single_ = single;
  staging_.resize(offset(static_cast<int>(row_of_atom_.size())));
}

template <typename T> T *GhostExchange::staged(int atom)
{
  return reinterpret_cast<T *>(staging_.data() + offset(atom));
}

int GhostExchange::pack_forward(int n, const int *atoms, double *buffer) const
{
  for (int k = 0; k < n; ++k)
    std::memcpy(buffer + static_cast<size_t>(k) * doubles_, staging_.data() + offset(atoms[k]),
                offset(1));
  return n * doubles_;
}

void GhostExchange::unpack_forward(int n, int first, const double *buffer)
{
  std::memcpy(staging_.data() + offset(first), buffer, offset(n));
}

int GhostExchange::pack_reverse(int n, int first, double *buffer) const
{
  std::memcpy(buffer, staging_.data() + offset(first), offset(n));
  return n * doubles_;
}

void GhostExchange::unpack_reverse(int n, const int *atoms, const double *buffer)
{
  if (single_) add<float>(n, atoms, buffer);
  else add<double>(n, atoms, buffer);
}

template <typename T> void GhostExchange::add(int n, const int *atoms, const double *buffer)
{
  const size_t count = offset(1) / sizeof(T);
  for (int k = 0; k < n; ++k) {
    T incoming[CHUNK * sizeof(double) / sizeof(T)];
    std::memcpy(incoming, buffer + static_cast<size_t>(k) * doubles_, offset(1));
    T *sum = staged<T>(atoms[k]);
    for (size_t c = 0; c < count; ++c) sum[c] += incoming[c];
  }
}

double GhostExchange::memory_usage() const
{
  const size_t indices = row_of_atom_.capacity() + atom_of_row_.capacity() + remote_.capacity();
  return static_cast<double>(indices * sizeof(int) + staging_.capacity());
}

}    // namespace tdn
