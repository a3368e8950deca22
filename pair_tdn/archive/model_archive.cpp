// The only place that opens archives and calls torch::jit::load.

#include "model_archive.h"

#include "archive_schema.h"
#include "errors.h"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

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

/// Every record verified, before any of them is used.
ZipReader read_records(const std::string &bytes, const std::string &file)
{
  if (!ZipReader::has_signature(bytes))
    throw Error("model file '" + file +
                "' is not a model archive: write one with `tdn deploy` or `tdn import-airs`");
  try {
    return ZipReader(bytes);
  } catch (const Error &cause) {
    throw Error("model file '" + file + "' is truncated or damaged (" + cause.what() + "; it has " +
                std::to_string(bytes.size()) + " bytes): copy it again or deploy the model again");
  }
}

std::string read_label(const ZipReader &records, const std::string &file)
{
  const auto *text = records.find(std::string("extra/") + schema::METADATA_RECORD);
  if (!text)
    throw Error("model file '" + file + "' has no TDN label (" + schema::METADATA_RECORD +
                "), it is a checkpoint or another program's model: convert it with `tdn deploy`");
  if (!records.compressed().empty())
    throw Error("model file '" + file + "' has a compressed record '" + records.compressed() +
                "', which this version cannot verify: write the file again with `tdn deploy`");
  return std::string(*text);
}

/// Weights and constants in another precision; reference energies stay float64, they need ten
/// digits.
void convert(torch::jit::Module &module, at::ScalarType dtype)
{
  const std::string kept = std::string(schema::REFERENCES) + ".";
  const auto cast = [&](const std::string &name, at::Tensor tensor) {
    if (tensor.is_floating_point() && name.compare(0, kept.size(), kept) != 0)
      tensor.set_data(tensor.to(dtype));
  };
  for (const auto &item : module.named_parameters()) cast(item.name, item.value);
  for (const auto &item : module.named_buffers()) cast(item.name, item.value);
}

}    // namespace

std::string first_line(const std::string &text)
{
  // TorchScript puts its own frames before the cause
  static const std::string name = "RuntimeError: ";
  const auto cause = text.rfind(name);
  const auto begin =
      text.find_first_not_of("\n ", cause == std::string::npos ? 0 : cause + name.size());
  if (begin == std::string::npos) return text;
  return text.substr(begin, text.find('\n', begin) - begin);
}

bool is_out_of_memory(const std::string &text)
{
  for (const char *sign : {"DefaultCPUAllocator: ", "out of memory"})
    if (text.find(sign) != std::string::npos) return true;
  return false;
}

ModelArchive::ModelArchive(std::string bytes, const std::string &file)
    : file_(file), bytes_(std::make_shared<const std::string>(std::move(bytes))),
      records_(read_records(*bytes_, file)), metadata_(read_label(records_, file), file)
{
}

std::string ModelArchive::read_bytes(const std::string &path)
{
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  if (in) out << in.rdbuf();
  if (!in || !out)
    throw Error("model file '" + path +
                "' cannot be read or is empty: check its name and permissions");
  return std::move(out).str();
}

ModelArchive ModelArchive::open(const std::string &path)
{
  return {read_bytes(path), path};
}

torch::jit::Module ModelArchive::load(c10::Device device, at::ScalarType dtype) const
{
  try {
    auto module = torch::jit::load(std::make_shared<MemoryReader>(bytes_), device);
    module.eval();
    if (dtype != metadata_.dtype) convert(module, dtype);
    for (const auto &parameter : module.parameters()) parameter.set_requires_grad(false);
    return module;
  } catch (const std::exception &error) {
    throw Error("model file '" + file_ + "' cannot be loaded (written by torch " +
                metadata_.torch_version +
                ", read by torch " TDN_TORCH_VERSION "): " + first_line(error.what()));
  }
}

}    // namespace tdn
