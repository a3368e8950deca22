#include "script_module.h"

#include "archive/archive_schema.h"
#include "printable.h"
#include "torch_errors.h"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>

namespace tdn {

namespace {

/// Lets libtorch read the shared bytes without a copy.
class MemoryReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MemoryReader(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}

  size_t size() const override { return bytes_->size(); }

  size_t read(uint64_t pos, void *buf, size_t n, const char *) const override
  {
    if (pos >= bytes_->size()) return 0;
    const size_t count = std::min(n, bytes_->size() - static_cast<size_t>(pos));
    std::memcpy(buf, bytes_->data() + pos, count);
    return count;
  }

 private:
  std::shared_ptr<const std::string> bytes_;
};

/// Weights and constants in another precision; reference energies and the pair term stay float64.
void convert(torch::jit::Module &module, at::ScalarType dtype)
{
  const std::string references = std::string(schema::REFERENCES) + ".",
                    pair_term = std::string(schema::PAIR_TERM) + ".";
  const auto cast = [&](const std::string &name, at::Tensor tensor) {
    const bool kept = name.starts_with(references) || name.starts_with(pair_term);
    if (tensor.is_floating_point() && !kept) tensor.set_data(tensor.to(dtype));
  };
  for (const auto &item : module.named_parameters()) cast(item.name, item.value);
  for (const auto &item : module.named_buffers()) cast(item.name, item.value);
}

}    // namespace

torch::jit::Module load_module(const ModelArchive &archive, c10::Device device,
                               at::ScalarType dtype)
{
  try {
    auto module = torch::jit::load(std::make_shared<MemoryReader>(archive.bytes()), device);
    module.eval();
    if (dtype != dtype_of(archive.metadata().dtype)) convert(module, dtype);
    for (const auto &parameter : module.parameters()) parameter.set_requires_grad(false);
    return module;
  } catch (const std::exception &error) {
    throw Error(
        "model file '" + archive.file() + "' cannot be loaded (written by torch " +
        printable(archive.metadata().torch_version) +
        ", read by torch " TDN_TORCH_VERSION "): " + printable(first_line(error.what()), 300));
  }
}

}    // namespace tdn
