// A model archive held in memory: rank 0 reads the file, every rank opens the same bytes.
#pragma once

#include "model_metadata.h"
#include "zip_reader.h"

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>

namespace tdn {

class ModelArchive {
 public:
  /// Verifies every record, then the label, before anything is used; `file` is only named in
  /// messages.
  ModelArchive(std::string bytes, const std::string &file);

  /// Reads the file at `path`; throws tdn::Error when it cannot be read.
  static ModelArchive open(const std::string &path);
  static std::string read_bytes(const std::string &path);

  const ModelMetadata &metadata() const { return metadata_; }
  const std::string &file() const { return file_; }
  double memory_usage() const { return static_cast<double>(bytes_->capacity()); }

  /// The scripted module on `device`, in `dtype`, ready for evaluation.
  torch::jit::Module load(c10::Device device, at::ScalarType dtype) const;

 private:
  std::string file_;
  std::shared_ptr<const std::string> bytes_;
  ZipReader records_;    // of bytes_
  ModelMetadata metadata_;
};

/// First line of a libtorch message, without its backtrace.
std::string first_line(const std::string &text);

/// Whether a libtorch message says so; TorchScript does not keep the type of an exception.
bool is_out_of_memory(const std::string &text);

}    // namespace tdn
