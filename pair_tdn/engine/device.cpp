// GPUs are found through the script library, whose engine is the only one that runs on them.

#include "device.h"

#include "script_library.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace tdn {

namespace {

/// First number in a system file, 0 if there is none (cgroups write "max" for no limit).
double number_in(const char *file, const std::string &after = "")
{
  std::ifstream in(file);
  std::string word;
  while (!after.empty() && in >> word && word != after) {
  }
  double value = 0;
  return in >> value ? value : 0;
}

/// Free memory of the machine or, if it has a limit, of the container.
double available_on_host()
{
  const double machine = 1024 * number_in("/proc/meminfo", "MemAvailable:");
  const double limit = number_in("/sys/fs/cgroup/memory.max");
  if (limit == 0) return machine;
  // The system drops cached files when memory is needed.
  const double used = number_in("/sys/fs/cgroup/memory.current") -
                      number_in("/sys/fs/cgroup/memory.stat", "inactive_file");
  const double left = std::max(0.0, limit - used);
  return machine == 0 ? left : std::min(machine, left);
}

/// Whether the system has a GPU driver (NVIDIA, AMD, Windows Subsystem); without one torch is not
/// loaded.
bool has_gpu_driver()
{
  std::error_code unreadable;
  for (const char *file : {"/dev/nvidiactl", "/dev/kfd", "/dev/dxg"})
    if (std::filesystem::exists(file, unreadable)) return true;
  return false;
}

Device turn(int node_rank, int n)
{
  return {Device::Kind::CUDA, node_rank % n};
}

}    // namespace

double available_memory(const Device &device)
{
  if (device.is_cpu()) return available_on_host();
  return script_library("device cuda").available_memory(device);
}

int n_devices(const Device &device)
{
  return device.is_cpu() ? 1 : script_library("device cuda").n_devices();
}

Device choose_device(const std::string &name, int node_rank)
{
  if (name == "cpu") return {};
  if (name == "auto") {
    const auto *library = has_gpu_driver() ? find_script_library() : nullptr;
    const int n = library ? library->n_devices() : 0;
    return n > 0 ? turn(node_rank, n) : Device{};
  }
  const auto &library = script_library("device cuda");
  if (const int n = library.n_devices(); n > 0) return turn(node_rank, n);
  throw Error("device cuda is requested but " + library.version() +
              " sees no CUDA device: use device cpu or install a torch with CUDA");
}

}    // namespace tdn
