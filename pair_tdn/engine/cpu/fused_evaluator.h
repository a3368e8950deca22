// The fused engine: edge work in blocks that stay in the cache, vector-Jacobian products written by
// hand, buffers kept from step to step. Of every layer it keeps its input, the sum over edges and
// the attention weights, and computes all else anew for the gradient.
#pragma once

#include "engine/evaluator.h"

namespace tdn {

/// Null when the engine cannot run the model here, with the reason as a clause.
std::unique_ptr<Evaluator> make_fused_evaluator(const ModelArchive &archive,
                                                const EvaluatorOptions &options,
                                                std::string &reason);

}    // namespace tdn
