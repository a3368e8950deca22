// Neighbor lists as plain pointers -> directed edges within the cutoff, sorted by center.
#pragma once

#include "errors.h"
#include "views.h"

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

namespace tdn {

/// Views of an MD program's arrays. Atoms are numbered owned first, then ghosts.
struct NeighborView {
  const double *const *positions;    ///< engine length units
  const int *ilist;                  ///< owned atoms that take part, one per row of the model
  int n_centers;
  const int *numneigh;             ///< indexed by atom
  const int *const *firstneigh;    ///< indexed by atom; full list
  int neighbor_mask;               ///< bits of a list entry that hold the atom index
  const int *row_of_atom;          ///< row of features that an atom reads, or one of the next two
  const int *type;                 ///< indexed by atom; may change from step to step
  const int *species_of_type;      ///< model species, -1 outside the model

  static constexpr int OUTSIDE = -1;         ///< not an atom of the model
  static constexpr int OUT_OF_REACH = -2;    ///< no row, since it was too far away at the rebuild

  int species(int atom) const { return species_of_type[type[atom]]; }
};

/// Two atoms that stop the run, by the engine's indices, for a message that names them.
class TDN_EXPORT AtomPairError : public Error {
 public:
  AtomPairError(const char *message, int first, int second) : Error(message), atoms{first, second}
  {
  }
  std::array<int, 2> atoms;
};

/// At the same point.
class TDN_EXPORT OverlapError : public AtomPairError {
 public:
  OverlapError(int first, int second)
      : AtomPairError("two atoms are at the same point: remove one of them", first, second)
  {
  }
};

/// Within the cutoff, but one of them has no row.
class TDN_EXPORT OutOfReachError : public AtomPairError {
 public:
  OutOfReachError(int first, int second)
      : AtomPairError("the neighbor lists are too old: rebuild them more often", first, second)
  {
  }
};

/// Two atoms and their distance; the initial value means no pair.
struct AtomPair {
  double squared = std::numeric_limits<double>::infinity();    ///< engine length units
  std::array<int, 2> atoms{-1, -1};                            ///< engine's indices
};

/// Edges i -> j with r_ij = r_j - r_i. Buffers are kept between steps; a `view()` of them is
/// valid until the next `build`.
class TDN_EXPORT NeighborGraph {
 public:
  NeighborGraph() = default;
  /// `cutoff` in angstrom; `angstrom` is the length of one engine unit in angstrom.
  NeighborGraph(double cutoff, double angstrom, int n_elements, Precision precision);

  /// Throws AtomPairError.
  void build(const NeighborView &view);

  /// Input of an evaluation as views; pointers to empty arrays may be null.
  struct View {
    int64_t n_owned = 0, n_edges = 0;
    const int64_t *species = nullptr;       ///< (n_owned)
    const int64_t *first_edge = nullptr;    ///< (n_owned + 1): edges of i are [i] .. [i + 1] - 1
    const int32_t *neighbor = nullptr;      ///< (n_edges), row of the sender
    const int32_t *pair =
        nullptr;    ///< (n_edges), species[center] * n_elements + species[neighbor]
    const void *vectors = nullptr;               ///< (n_edges, 3) angstrom
    Precision precision = Precision::FLOAT64;    ///< of the vectors
  };
  /// The buffers of a view, except the vectors.
  struct TDN_EXPORT Buffers {
    std::vector<int64_t> species, first_edge{0};
    std::vector<int32_t> neighbor, pair;

    /// Valid as long as nothing is added.
    View view(const void *vectors, Precision precision) const;
  };
  View view() const;

  int64_t n_owned() const { return static_cast<int64_t>(buffers_.species.size()); }
  int64_t n_edges() const { return static_cast<int64_t>(buffers_.neighbor.size()); }
  /// Edges of a center: first_edge(row) .. first_edge(row + 1) - 1.
  int64_t first_edge(int64_t row) const { return buffers_.first_edge[row]; }
  int64_t row_of_edge(int64_t edge) const;
  /// The MD engine's index of a center, and of an edge's neighbor, which may be a ghost.
  int center_atom(int64_t row) const { return center_atom_[row]; }
  int neighbor_atom(int64_t edge) const { return neighbor_atom_[edge]; }
  /// r_j - r_i, angstrom, rounded to the model's precision.
  std::array<double, 3> vector(int64_t edge) const;
  /// The closest atoms of each ordered pair of species in the last build, n_elements^2.
  const std::vector<AtomPair> &closest() const { return closest_; }
  double memory_usage() const;

 private:
  double cutoff_ = 0, angstrom_ = 1;
  int n_elements_ = 0;
  Precision precision_ = Precision::FLOAT64;
  Buffers buffers_;
  std::vector<int> center_atom_, neighbor_atom_;
  std::vector<float> single_vectors_;     // of a float32 model,
  std::vector<double> double_vectors_;    // of a float64 model
  std::vector<AtomPair> closest_;

  void clear();
  void reserve(size_t n_edges);
  template <typename T> void add_edges_of(const NeighborView &view, int i, std::vector<T> &vectors);
};

}    // namespace tdn
