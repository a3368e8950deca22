#include "radial_network.h"

#include <utility>

namespace tdn {

void PairVectors::add(jets::Jets &x, size_t center, size_t neighbor) const
{
  std::vector<double> sum(x.width);
  for (size_t k = 0; k < x.width; ++k) {
    if (!of_pair.empty()) sum[k] = of_pair[(center * n_elements + neighbor) * x.width + k];
    else if (!of_center.empty())
      sum[k] = of_center[center * x.width + k] + of_neighbor[neighbor * x.width + k];
  }
  for (size_t point = 0; point < x.n; ++point)
    for (size_t k = 0; k < x.width; ++k) x.row(0, point)[k] += sum[k];
}

jets::Jets RadialNetwork::behind_first(jets::Jets x, size_t center, size_t neighbor) const
{
  pairs.add(x, center, neighbor);
  if (first_norm) (*first_norm)(x);
  jets::scaled_silu(x, silu_scale);
  x = second(x);
  if (second_norm) (*second_norm)(x);
  jets::scaled_silu(x, silu_scale);
  return last(x);
}

RadialNetwork take_network(WeightTaker &taker, const std::string &prefix,
                           const RadialConstants &constants)
{
  const size_t n = constants.n_elements;
  auto first = taker.linear(prefix + "first", constants.n_radial);
  auto second = taker.linear(prefix + "second", first.n_out);
  auto last = taker.linear(prefix + "last", second.n_out);
  auto first_norm = taker.norm(prefix + "first_norm", first.n_out, constants.norm_eps);
  auto second_norm = taker.norm(prefix + "second_norm", second.n_out, constants.norm_eps);
  PairVectors pairs{n, {}, {}, {}};
  if (taker.has(prefix + "pair")) pairs.of_pair = taker.take(prefix + "pair", n * n * first.n_out);
  if (taker.has(prefix + "center")) {
    pairs.of_center = taker.take(prefix + "center", n * first.n_out);
    pairs.of_neighbor = taker.take(prefix + "neighbor", n * first.n_out);
  }
  return {std::move(first),       std::move(second), std::move(last),     std::move(first_norm),
          std::move(second_norm), std::move(pairs),  constants.silu_scale};
}

}    // namespace tdn
