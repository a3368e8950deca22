// Reads a safetensors record: length of the header, header in JSON, data. Written by
// python/tdn/deployment/safetensors.py.
#pragma once

#include "errors.h"

#include "named_arrays.h"

#include <string_view>

namespace tdn {

/// Arrays by name, float32 widened to float64. Throws tdn::Error whose message is a clause, also
/// for values that are not finite.
TDN_EXPORT NamedArrays read_safetensors(std::string_view record);

}    // namespace tdn
