#include "radial_network.h"

#include "errors.h"

#include <utility>

namespace tdn {

Array WeightTaker::take(const std::string &name)
{
  const auto hit = weights_.find(name);
  if (hit == weights_.end()) refuse(name, "is missing");
  auto array = std::move(hit->second);
  weights_.erase(hit);
  return array;
}

std::vector<double> WeightTaker::take(const std::string &name, size_t size)
{
  auto array = take(name);
  if (array.size() != size) refuse(name, "has another size than the weights around it");
  return std::move(array.values);
}

jets::Linear WeightTaker::linear(const std::string &name, size_t n_in)
{
  const auto weight = take(name + ".weight");
  if (weight.n_dims() != 2 || weight.size() == 0 || weight.shape[1] != static_cast<int64_t>(n_in))
    refuse(name + ".weight", "has another shape than the weights around it");
  const auto n_out = static_cast<size_t>(weight.shape[0]);
  jets::Linear map{n_in, n_out, std::vector<double>(weight.size()), take(name + ".bias", n_out)};
  for (size_t i = 0; i < n_in; ++i)
    for (size_t j = 0; j < n_out; ++j) map.matrix[i * n_out + j] = weight.values[j * n_in + i];
  return map;
}

std::optional<jets::LayerNorm> WeightTaker::norm(const std::string &name, size_t width, double eps)
{
  if (!has(name + ".weight")) return {};
  auto weight = take(name + ".weight", width);
  return jets::LayerNorm{std::move(weight), take(name + ".bias", width), eps};
}

void WeightTaker::refuse(const std::string &name, const char *cause)
{
  throw Error("the weight '" + name + "' of the archive " + cause + ": deploy the model anew");
}

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
