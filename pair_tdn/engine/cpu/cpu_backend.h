// The backend for CPUs. It stores the input of every layer, the sum over edges and the
// attention weights; kernels recompute the rest for the gradient.
#pragma once

#include "archive/named_arrays.h"
#include "engine/backend.h"

namespace tdn {

std::unique_ptr<Backend> make_cpu_backend(const NamedArrays &weights, Precision precision,
                                          const std::vector<int> &species, int n_elements);

}    // namespace tdn
