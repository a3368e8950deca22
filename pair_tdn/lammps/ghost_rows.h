// Maps LAMMPS's atoms to rows of features: which row each owned or ghost atom reads.
#pragma once

#include "exchange/exchange_plan.h"
#include "graph/neighbor_graph.h"

#include <vector>

namespace LAMMPS_NS {
class LAMMPS;
class NeighList;
class Pair;
}    // namespace LAMMPS_NS

namespace tdn {

/// Rows [0, n_owned) are the owned atoms of the model, in the order given. A ghost that is an image
/// of one of them shares its row; an atom of another rank has one row, however many of its images
/// are here; a ghost beyond the reach of every owned atom has none.
class GhostRows {
 public:
  /// Doubles per atom in LAMMPS's ghost communication, which a rebuild calls once.
  static constexpr int COMM_FORWARD = 2;

  GhostRows(LAMMPS_NS::LAMMPS *lmp, LAMMPS_NS::Pair *pair) : lmp_(lmp), pair_(pair) {}

  /// Collective; to be called when LAMMPS has rebuilt its lists. `atoms`: local indices of the
  /// owned atoms of the model. `reach`: distance, LAMMPS units, within which a pair can come closer
  /// than the cutoff before the next rebuild.
  void rebuild(std::vector<int> atoms, const LAMMPS_NS::NeighList &list, double reach);

  int64_t n_owned() const { return static_cast<int64_t>(atom_of_row_.size()); }
  /// Sorted rows of other ranks; wanted()[k] is row n_owned() + k here.
  const std::vector<RemoteRow> &wanted() const { return wanted_; }
  /// Indexed by LAMMPS's local index, owned and ghost atoms; NeighborView defines the values.
  const std::vector<int> &row_of_atom() const { return row_of_atom_; }
  /// LAMMPS's local index of the owned atom in each row, and in one row.
  const std::vector<int> &atoms() const { return atom_of_row_; }
  int atom_of_row(int64_t row) const { return atom_of_row_[row]; }
  double memory_usage() const;

  // Callbacks of LAMMPS's ghost communication.
  int pack_forward(int n, const int *atoms, double *buffer) const;
  void unpack_forward(int n, int first, const double *buffer);

 private:
  LAMMPS_NS::LAMMPS *lmp_;
  LAMMPS_NS::Pair *pair_;
  std::vector<int> row_of_atom_, atom_of_row_;
  std::vector<RemoteRow> owner_;    // for every atom: its rank and its row there
  std::vector<RemoteRow> wanted_;

  void map_owned();
  void ask_owners();
  std::vector<int> ghosts_in_reach(const LAMMPS_NS::NeighList &list, double reach) const;
  void map_ghosts(const std::vector<int> &seen);
};

}    // namespace tdn
