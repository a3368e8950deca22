// Distances are taken in double precision; only the finished vectors are rounded to the model
// dtype.

#include "neighbor_graph.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>

namespace tdn {

namespace {

template <typename T> at::Tensor view_of(const std::vector<T> &buffer, at::IntArrayRef shape)
{
  // An empty vector may have no storage; from_blob must not see its null pointer.
  const auto type = c10::CppTypeToScalarType<T>::value;
  if (buffer.empty()) return at::empty(shape, at::TensorOptions().dtype(type));
  return at::from_blob(const_cast<T *>(buffer.data()), shape, at::TensorOptions().dtype(type));
}

template <typename T> double bytes_of(const std::vector<T> &buffer)
{
  return static_cast<double>(buffer.capacity() * sizeof(T));
}

}    // namespace

NeighborGraph::NeighborGraph(double cutoff, double angstrom, int n_elements, at::ScalarType dtype)
    : cutoff_(cutoff), angstrom_(angstrom), n_elements_(n_elements), dtype_(dtype)
{
}

void NeighborGraph::clear()
{
  for (auto *buffer : {&species_, &center_, &neighbor_, &pair_}) buffer->clear();
  center_atom_.clear();
  neighbor_atom_.clear();
  engine_vectors_.clear();
  closest_ = {};
}

void NeighborGraph::build(const NeighborView &view)
{
  clear();
  for (int row = 0; row < view.n_centers; ++row) {
    const int i = view.ilist[row];
    species_.push_back(view.species(i));
    add_edges_of(view, row, i);
  }
}

void NeighborGraph::add_edges_of(const NeighborView &view, int row, int i)
{
  const double limit = (cutoff_ / angstrom_) * (cutoff_ / angstrom_);
  const double *xi = view.positions[i];
  for (int k = 0; k < view.numneigh[i]; ++k) {
    const int j = view.firstneigh[i][k] & view.neighbor_mask;
    const double *xj = view.positions[j];
    const double r[3] = {xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
    const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    const int neighbor = view.row_of_atom[j];
    if (squared >= limit || neighbor == NeighborView::OUTSIDE) continue;
    if (neighbor == NeighborView::OUT_OF_REACH) throw OutOfReachError(i, j);
    if (squared == 0.0) throw OverlapError(i, j);
    if (squared < closest_.squared) closest_ = {squared, {i, j}};
    center_.push_back(row);
    neighbor_.push_back(neighbor);
    pair_.push_back(view.species(i) * n_elements_ + view.species(j));
    center_atom_.push_back(i);
    neighbor_atom_.push_back(j);
    engine_vectors_.insert(engine_vectors_.end(), r, r + 3);
  }
}

NeighborGraph::Tensors NeighborGraph::tensors() const
{
  // A multiplication makes a new tensor, so the vectors survive the next build; the indices do not.
  const auto vectors = view_of(engine_vectors_, {n_edges(), 3}) * angstrom_;
  return {.species = view_of(species_, {n_owned()}),
          .center = view_of(center_, {n_edges()}),
          .neighbor = view_of(neighbor_, {n_edges()}),
          .pair = view_of(pair_, {n_edges()}),
          .vectors = vectors.to(dtype_)};
}

double NeighborGraph::memory_usage() const
{
  return bytes_of(species_) + bytes_of(center_) + bytes_of(neighbor_) + bytes_of(pair_) +
         bytes_of(center_atom_) + bytes_of(neighbor_atom_) + bytes_of(engine_vectors_);
}

}    // namespace tdn
