// The pair term of a model: tables of r E(r), always evaluated in float64, because close nuclei
// repel each other with thousands of eV. Few edges are within its reach.
#pragma once

#include "archive/named_arrays.h"
#include "kernels.h"

#include <vector>

namespace tdn {

class PairTables {
 public:
  PairTables() = default;
  /// `reach` (n_slots) angstrom, `table` (n_slots, n_knots, 3, 1); see engine/pair_term.h.
  PairTables(const Array &reach, const Array &table);

  bool empty() const { return reach_.empty(); }

  /// Adds the energies of the edges of centers begin .. end - 1 to those of the centers, and their
  /// gradients to those of the edges unless there are none.
  template <typename T>
  void add(const fused::Edges<T> &edges, int64_t begin, int64_t end, double *energies) const;

 private:
  struct Point {
    double energy, slope;    // eV, eV/angstrom
  };
  static constexpr int N_COEFFICIENTS = 6;
  std::vector<double> reach_;
  std::vector<double> polynomials_;    // (n_slots, n_intervals, 6)
  int64_t n_intervals_ = 0;

  Point at(int slot, double r) const;
};

}    // namespace tdn
