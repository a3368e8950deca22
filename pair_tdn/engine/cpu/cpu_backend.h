// The backend of processors. Of every layer it keeps its input, the sum over edges and the
// attention weights; kernels compute all else anew for the gradient.
#pragma once

#include "archive/named_arrays.h"
#include "engine/backend.h"

namespace tdn {

std::unique_ptr<Backend> make_cpu_backend(const NamedArrays &weights, Precision precision,
                                          const std::vector<int> &species, int n_elements);

}    // namespace tdn
