// Reads a zip archive in memory, as torch writes it. Stricter than the format: records follow each
// other without gaps, so that nothing can hide or be skipped. It does not inflate.
#pragma once

#include "errors.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tdn {

class TDN_EXPORT ZipReader {
 public:
  /// Verifies the whole archive, with the CRC-32 of every stored record. Throws tdn::Error whose
  /// message is a clause ("the record 'data/3' has a wrong checksum"). The bytes are not copied.
  explicit ZipReader(std::string_view bytes);

  /// Whether bytes start like a zip file.
  static bool has_signature(std::string_view bytes);

  /// Contents by name, without the common folder of all records.
  const std::map<std::string, std::string_view, std::less<>> &records() const { return records_; }

  /// Name of a compressed record, which is not verified and not among `records`; "" if none.
  const std::string &compressed() const { return compressed_; }

  /// Null if there is no such record.
  const std::string_view *find(std::string_view name) const;

 private:
  std::map<std::string, std::string_view, std::less<>> records_;
  std::string compressed_;
};

}    // namespace tdn
