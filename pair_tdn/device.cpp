// auto: a GPU when torch sees one.

#include "device.h"

#include "errors.h"

#include <ATen/Version.h>
#include <torch/cuda.h>

namespace tdn {

c10::Device choose_device(const std::string &name, int node_rank)
{
  if (name == "cpu") return {c10::kCPU};
  const auto n_devices = torch::cuda::is_available() ? torch::cuda::device_count() : 0;
  if (n_devices > 0)
    return {c10::kCUDA, static_cast<c10::DeviceIndex>(node_rank % static_cast<int>(n_devices))};
  if (name == "auto") return {c10::kCPU};
  throw Error("device cuda is asked for but torch " TDN_TORCH_VERSION
              " sees no CUDA device: use device cpu or install a torch with CUDA");
}

std::string loaded_torch_version()
{
  const std::string config = at::show_config(), key = "TORCH_VERSION=";
  const auto begin = config.find(key);
  if (begin == std::string::npos) return {};
  return config.substr(begin + key.size(),
                       config.find_first_of(", \n", begin) - begin - key.size());
}

}    // namespace tdn
