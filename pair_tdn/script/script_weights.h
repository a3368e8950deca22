// Weights of the fused engine from archives of format 1, which only TorchScript can read.
#pragma once

#include "archive/named_arrays.h"
#include "engine/evaluator.h"

#include <optional>

namespace tdn {

/// By name, with tables for the pairs of `options.species`; nothing if the archive has no tables.
std::optional<NamedArrays> read_fused_weights(const ModelArchive &archive,
                                              const EvaluatorOptions &options);

}    // namespace tdn
