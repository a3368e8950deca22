// Takes the weights of a function of the distance from those of an archive.
#pragma once

#include "archive/named_arrays.h"
#include "jets.h"

#include <optional>
#include <string>
#include <vector>

namespace tdn {

/// Weights that are taken by name. Throws tdn::Error if one is missing or has another size than
/// requested.
class WeightTaker {
 public:
  explicit WeightTaker(NamedArrays &weights) : weights_(weights) {}

  bool has(const std::string &name) const { return weights_.contains(name); }
  Array take(const std::string &name);
  std::vector<double> take(const std::string &name, size_t size);
  double number(const std::string &name) { return take(name, 1).front(); }
  /// NAME.weight (n_out, n_in) and NAME.bias.
  jets::Linear linear(const std::string &name, size_t n_in);
  /// NAME.weight and NAME.bias, or nothing if there are none.
  std::optional<jets::LayerNorm> norm(const std::string &name, size_t width, double eps);

  [[noreturn]] static void refuse(const std::string &name, const char *cause);

 private:
  NamedArrays &weights_;
};

}    // namespace tdn
