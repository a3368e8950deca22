// Weights by name on the way from torch to plain arrays.
#pragma once

#include "archive/named_arrays.h"

#include <ATen/core/Dict.h>
#include <ATen/core/Tensor.h>

#include <string>

namespace tdn {

using NamedTensors = c10::Dict<std::string, at::Tensor>;

inline Array array_of(const at::Tensor &tensor)
{
  const auto values = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double *numbers = values.const_data_ptr<double>();
  return {.shape = values.sizes().vec(), .values = {numbers, numbers + values.numel()}};
}

inline NamedArrays arrays_of(const NamedTensors &tensors)
{
  NamedArrays out;
  for (const auto &item : tensors) out[item.key()] = array_of(item.value());
  return out;
}

}    // namespace tdn
