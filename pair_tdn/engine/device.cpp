// auto: a GPU when torch sees one.

#include "device.h"

#include "errors.h"

#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace tdn {

namespace {

/// First number of a file of the system, 0 when there is none (cgroups write "max" for no limit).
double number_in(const char *file, const std::string &after = "")
{
  std::ifstream in(file);
  std::string word;
  while (!after.empty() && in >> word && word != after) {
  }
  double value = 0;
  return in >> value ? value : 0;
}

/// What the machine or, where it sets a limit, the container still has.
double available_on_host()
{
  const double machine = 1024 * number_in("/proc/meminfo", "MemAvailable:");
  const double limit = number_in("/sys/fs/cgroup/memory.max");
  if (limit == 0) return machine;
  // Cached files are given up when memory is needed.
  const double used = number_in("/sys/fs/cgroup/memory.current") -
                      number_in("/sys/fs/cgroup/memory.stat", "inactive_file");
  const double left = std::max(0.0, limit - used);
  return machine == 0 ? left : std::min(machine, left);
}

/// Older versions of torch cannot say.
template <typename Allocator> double available_from(Allocator *allocator, c10::DeviceIndex index)
{
  if constexpr (requires { allocator->getMemoryInfo(index); })
    return allocator ? static_cast<double>(allocator->getMemoryInfo(index).first) : 0;
  else return 0;
}

}    // namespace

double available_memory(c10::Device device)
{
  if (device.is_cpu()) return available_on_host();
  auto *allocator = dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(device.type()));
  return available_from(allocator, device.index());
}

int n_devices()
{
  return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
}

c10::Device choose_device(const std::string &name, int node_rank)
{
  if (name == "cpu") return {c10::kCPU};
  if (const int n = n_devices(); n > 0)
    return {c10::kCUDA, static_cast<c10::DeviceIndex>(node_rank % n)};
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
