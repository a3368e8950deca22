// Rows of node features between MPI ranks, through LAMMPS's own ghost communication.
#pragma once

#include "feature_exchange.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {
class LAMMPS;
class NeighList;
class Pair;
}    // namespace LAMMPS_NS

namespace tdn {

/// Rows [0, n_owned) are the atoms of the neighbor list, in its order; a ghost that is an image of
/// one of them shares its row; every other ghost inside the model has a row of its own behind them.
/// Wider rows travel in chunks of columns, so that the buffers LAMMPS reserves stay constant.
class GhostExchange : public FeatureExchange {
 public:
  /// Doubles per atom in one message, for comm_forward and comm_reverse of the pair style.
  static constexpr int CHUNK = 64;

  GhostExchange(LAMMPS_NS::LAMMPS *lmp, LAMMPS_NS::Pair *pair);

  /// Collective; to be called when LAMMPS has rebuilt its lists. species_of_type: -1 outside the
  /// model.
  void rebuild(const LAMMPS_NS::NeighList &list, const std::vector<int> &species_of_type);

  int64_t n_owned() const override { return n_owned_; }
  int64_t n_rows() const override { return n_owned_ + static_cast<int64_t>(remote_.size()); }
  at::Tensor forward(const at::Tensor &owned) override;
  at::Tensor adjoint(const at::Tensor &gradient) override;

  /// Indexed by LAMMPS's local index, owned and ghost atoms; -1 outside the model.
  const std::vector<int> &row_of_atom() const { return row_of_atom_; }
  /// LAMMPS's local index of the owned atom in a row.
  int atom_of_row(int64_t row) const { return atom_of_row_[row]; }
  double memory_usage() const;

  // What LAMMPS asks of the pair style in between.
  int pack_forward(int n, const int *atoms, double *buffer) const;
  void unpack_forward(int n, int first, const double *buffer);
  int pack_reverse(int n, int first, double *buffer) const;
  void unpack_reverse(int n, const int *atoms, const double *buffer);

 private:
  LAMMPS_NS::LAMMPS *lmp_;
  LAMMPS_NS::Pair *pair_;
  int64_t n_owned_ = 0;
  bool any_remote_ = false;    // on any rank; the same everywhere
  std::vector<int> row_of_atom_, atom_of_row_;
  std::vector<int> remote_;    // LAMMPS index of the ghosts that have rows of their own

  std::vector<unsigned char> staging_;    // (n_atoms, doubles_) numbers: the columns on their way
  int doubles_ = 0;
  bool single_ = false;    // staged numbers are floats, two in a double

  void map_owned(const LAMMPS_NS::NeighList &list);
  void map_ghosts(const std::vector<int> &species_of_type);
  void stage(int doubles, bool single);
  size_t offset(int atom) const { return static_cast<size_t>(atom) * doubles_ * sizeof(double); }
  template <typename T> T *staged(int atom);
  template <typename T> void forward_columns(const at::Tensor &owned, at::Tensor &rows);
  template <typename T> void adjoint_columns(const at::Tensor &gradient, at::Tensor &owned);
  template <typename T> void add(int n, const int *atoms, const double *buffer);
};

}    // namespace tdn
