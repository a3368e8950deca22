// A radial network from an archive: jets of the basis -> jets of the radial weights of a pair.
#pragma once

#include "weight_taker.h"

#include <optional>
#include <string>
#include <vector>

namespace tdn {

/// A vector for each ordered pair: T[a, b], or U[a] + V[b]; none if the network ignores the
/// elements.
struct PairVectors {
  size_t n_elements;
  std::vector<double> of_pair, of_center, of_neighbor;

  bool blind() const { return of_pair.empty() && of_center.empty(); }
  /// Adds the vector to the values of all points.
  void add(jets::Jets &x, size_t center, size_t neighbor) const;
};

struct RadialNetwork {
  jets::Linear first, second, last;
  std::optional<jets::LayerNorm> first_norm, second_norm;
  PairVectors pairs;
  double silu_scale;

  /// All maps but the first, whose result does not depend on the pair.
  jets::Jets behind_first(jets::Jets x, size_t center, size_t neighbor) const;
};

struct RadialConstants {
  double silu_scale, norm_eps;
  size_t n_elements, n_radial;
};

/// The network whose weights have names PREFIX...
RadialNetwork take_network(WeightTaker &taker, const std::string &prefix,
                           const RadialConstants &constants);

}    // namespace tdn
