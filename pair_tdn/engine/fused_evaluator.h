// The fused engine: the pass over a backend's kernels, which do the edge work in blocks that stay
// in the cache, with vector-Jacobian products written by hand and buffers kept between steps.
#pragma once

#include "archive/named_arrays.h"
#include "evaluator.h"

namespace tdn {

/// `weights` by name, with tables for the pairs of `options.species` in this order. Null if the
/// engine cannot run the model, with the reason as a clause.
std::unique_ptr<Evaluator> make_fused_evaluator(const NamedArrays &weights,
                                                const EvaluatorOptions &options, int n_elements,
                                                std::string &reason);

}    // namespace tdn
