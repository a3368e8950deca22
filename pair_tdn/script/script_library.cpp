// The entry point of libtdn_script.

#include "engine/script_library.h"
#include "script_evaluator.h"
#include "script_module.h"
#include "script_weights.h"
#include "torch_errors.h"

#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>

namespace tdn {

namespace {

/// Older versions of torch have no such function.
template <typename Allocator> double available_from(Allocator *allocator, c10::DeviceIndex index)
{
  if constexpr (requires { allocator->getMemoryInfo(index); })
    return allocator ? static_cast<double>(allocator->getMemoryInfo(index).first) : 0;
  else return 0;
}

class Library : public ScriptLibrary {
 public:
  std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                            const EvaluatorOptions &options) const override
  {
    return with_our_errors([&] { return std::make_unique<ScriptEvaluator>(archive, options); });
  }

  std::optional<NamedArrays> fused_weights(const ModelArchive &archive,
                                           const EvaluatorOptions &options) const override
  {
    return with_our_errors([&] { return read_fused_weights(archive, options); });
  }

  int n_devices() const override
  {
    return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  }

  double available_memory(const Device &device) const override
  {
    const auto here = device_of(device);
    auto *allocator = dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(here.type()));
    return available_from(allocator, here.index());
  }

  std::string version() const override { return "torch " TDN_TORCH_VERSION; }
};

/// Version of the loaded libtorch, empty if unknown.
std::string loaded_torch_version()
{
  const std::string config = at::show_config(), key = "TORCH_VERSION=";
  const auto begin = config.find(key);
  if (begin == std::string::npos) return {};
  return config.substr(begin + key.size(),
                       config.find_first_of(", \n+", begin) - begin - key.size());
}

}    // namespace

}    // namespace tdn

/// Throws tdn::Error if the torch of this process is not the one that this library was built for.
extern "C" TDN_EXPORT const tdn::ScriptLibrary *tdn_script_library()
{
  const auto loaded = tdn::loaded_torch_version();
  if (!loaded.empty() && loaded != TDN_TORCH_VERSION)
    throw tdn::Error("it was built for torch " TDN_TORCH_VERSION " but torch " + loaded +
                     " is loaded");
  static const tdn::Library library;
  return &library;
}
