// The TorchScript of an archive. Only this module calls torch::jit::load.
#pragma once

#include "archive/model_archive.h"

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace tdn {

/// The scripted module on `device`, in `dtype`, ready for evaluation.
torch::jit::Module load_module(const ModelArchive &archive, c10::Device device,
                               at::ScalarType dtype);

inline at::ScalarType dtype_of(Precision precision)
{
  return precision == Precision::FLOAT32 ? at::kFloat : at::kDouble;
}

inline c10::Device device_of(const Device &device)
{
  if (device.is_cpu()) return {c10::kCPU};
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(device.index)};
}

}    // namespace tdn
