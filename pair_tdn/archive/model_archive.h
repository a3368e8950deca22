// A model archive held in memory: rank 0 reads the file, every rank opens the same bytes.
#pragma once

#include "model_metadata.h"
#include "named_arrays.h"
#include "zip_reader.h"

#include <memory>
#include <string>

namespace tdn {

class TDN_EXPORT ModelArchive {
 public:
  /// Verifies every record, the label and the hash of the weights before anything is used; `file`
  /// is only named in messages.
  ModelArchive(std::string bytes, const std::string &file);

  /// Reads the file at `path`; throws tdn::Error when it cannot be read.
  static ModelArchive open(const std::string &path);
  static std::string read_bytes(const std::string &path);

  const ModelMetadata &metadata() const { return metadata_; }
  const std::string &file() const { return file_; }
  double memory_usage() const { return static_cast<double>(bytes_->capacity()); }

  /// Whether the fused engine can read its weights here; in format 1 they are a method of the
  /// module.
  bool has_weights() const { return !metadata_.weights_sha256.empty(); }
  NamedArrays weights() const;

  /// The whole file, which is also a TorchScript file.
  const std::shared_ptr<const std::string> &bytes() const { return bytes_; }

 private:
  std::string file_;
  std::shared_ptr<const std::string> bytes_;
  ZipReader records_;    // of bytes_
  ModelMetadata metadata_;
};

}    // namespace tdn
