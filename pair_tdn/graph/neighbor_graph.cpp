// Distances are computed in double precision; only the final vectors are rounded to the model's
// precision.

#include "neighbor_graph.h"

#include <algorithm>

namespace tdn {

namespace {

template <typename T> double bytes_of(const std::vector<T> &buffer)
{
  return static_cast<double>(buffer.capacity() * sizeof(T));
}

}    // namespace

NeighborGraph::NeighborGraph(double cutoff, double angstrom, int n_elements, Precision precision)
    : cutoff_(cutoff), angstrom_(angstrom), n_elements_(n_elements), precision_(precision),
      closest_(static_cast<size_t>(n_elements) * n_elements)
{
}

void NeighborGraph::clear()
{
  buffers_.species.clear();
  buffers_.first_edge.assign(1, 0);
  for (auto *buffer : {&buffers_.neighbor, &buffers_.pair}) buffer->clear();
  for (auto *buffer : {&center_atom_, &neighbor_atom_}) buffer->clear();
  single_vectors_.clear();
  double_vectors_.clear();
  std::fill(closest_.begin(), closest_.end(), AtomPair{});
}

/// Reserves a fifth more than needed, so that a few more edges in a later step do not reallocate.
void NeighborGraph::reserve(size_t n_edges)
{
  if (n_edges <= buffers_.neighbor.capacity()) return;
  const size_t n = n_edges + n_edges / 5;
  buffers_.neighbor.reserve(n);
  buffers_.pair.reserve(n);
  neighbor_atom_.reserve(n);
  if (precision_ == Precision::FLOAT64) double_vectors_.reserve(3 * n);
  else single_vectors_.reserve(3 * n);
}

void NeighborGraph::build(const NeighborView &view)
{
  clear();
  for (int row = 0; row < view.n_centers; ++row) {
    const int i = view.ilist[row];
    buffers_.species.push_back(view.species(i));
    center_atom_.push_back(i);
    reserve(buffers_.neighbor.size() + static_cast<size_t>(view.numneigh[i]));
    if (precision_ == Precision::FLOAT64) add_edges_of(view, i, double_vectors_);
    else add_edges_of(view, i, single_vectors_);
    buffers_.first_edge.push_back(n_edges());
  }
}

template <typename T>
void NeighborGraph::add_edges_of(const NeighborView &view, int i, std::vector<T> &vectors)
{
  const double limit = (cutoff_ / angstrom_) * (cutoff_ / angstrom_);
  const double *xi = view.positions[i];
  for (int k = 0; k < view.numneigh[i]; ++k) {
    const int j = view.firstneigh[i][k] & view.neighbor_mask;
    const double *xj = view.positions[j];
    const double r[3] = {xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
    const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    if (squared >= limit) continue;
    const int neighbor = view.row_of_atom[j];
    if (neighbor == NeighborView::OUTSIDE) continue;
    if (neighbor == NeighborView::OUT_OF_REACH) throw OutOfReachError(i, j);
    if (squared == 0.0) throw OverlapError(i, j);
    const int pair = view.species(i) * n_elements_ + view.species(j);
    if (squared < closest_[pair].squared) closest_[pair] = {squared, {i, j}};
    buffers_.neighbor.push_back(neighbor);
    buffers_.pair.push_back(pair);
    neighbor_atom_.push_back(j);
    for (const double x : r) vectors.push_back(static_cast<T>(x * angstrom_));
  }
}

NeighborGraph::View NeighborGraph::Buffers::view(const void *vectors, Precision precision) const
{
  return {.n_owned = static_cast<int64_t>(species.size()),
          .n_edges = static_cast<int64_t>(neighbor.size()),
          .species = species.data(),
          .first_edge = first_edge.data(),
          .neighbor = neighbor.data(),
          .pair = pair.data(),
          .vectors = vectors,
          .precision = precision};
}

NeighborGraph::View NeighborGraph::view() const
{
  const void *vectors = double_vectors_.data();
  if (precision_ == Precision::FLOAT32) vectors = single_vectors_.data();
  return buffers_.view(vectors, precision_);
}

int64_t NeighborGraph::row_of_edge(int64_t edge) const
{
  const auto &first = buffers_.first_edge;
  return std::upper_bound(first.begin(), first.end(), edge) - first.begin() - 1;
}

std::array<double, 3> NeighborGraph::vector(int64_t edge) const
{
  const auto at = [&](int64_t k) {
    return precision_ == Precision::FLOAT64 ? double_vectors_[k]
                                            : static_cast<double>(single_vectors_[k]);
  };
  return {at(3 * edge), at(3 * edge + 1), at(3 * edge + 2)};
}

double NeighborGraph::memory_usage() const
{
  return bytes_of(buffers_.species) + bytes_of(buffers_.first_edge) + bytes_of(buffers_.neighbor) +
         bytes_of(buffers_.pair) + bytes_of(center_atom_) + bytes_of(neighbor_atom_) +
         bytes_of(single_vectors_) + bytes_of(double_vectors_);
}

}    // namespace tdn
