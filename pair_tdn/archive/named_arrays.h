// Weights by name, as in an archive: plain float64 arrays, so that no library is needed to handle
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tdn {

/// A C-ordered array; a scalar has no shape and one value.
struct Array {
  std::vector<int64_t> shape;
  std::vector<double> values;

  size_t size() const { return values.size(); }
  int64_t n_dims() const { return static_cast<int64_t>(shape.size()); }
};

using NamedArrays = std::map<std::string, Array, std::less<>>;

}    // namespace tdn
