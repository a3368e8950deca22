#include "weight_taker.h"

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
  throw Error("the weight '" + name + "' of the archive " + cause + ": deploy the model again");
}

}    // namespace tdn
