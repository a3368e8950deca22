// A graph from numpy arrays, checked: invalid indices must not reach the kernels.
#pragma once

#include "core_evaluator.h"

namespace tdn {

class ArrayGraph {
 public:
  /// Throws tdn::Error. `known`: species that may occur.
  ArrayGraph(const Integers &species, const Integers &center, const Integers &neighbor,
             const pybind11::object &vectors, int64_t n_owned, Precision precision, int n_elements,
             const std::vector<int> &known);

  /// Valid as long as this object and the arrays.
  NeighborGraph::View view() const { return buffers_.view(vectors_.data(), precision_); }

 private:
  NeighborGraph::Buffers buffers_;
  pybind11::array vectors_;
  Precision precision_;
};

/// Throws tdn::Error unless the array has `size` rows.
void check_size(const pybind11::array &array, const char *name, int64_t size);

}    // namespace tdn
