// Reads a zip archive that lies in memory, as torch writes them. Stricter than the format: records
// stand one behind the other, so that nothing can hide or be skipped. It does not inflate.
#pragma once

#include "errors.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tdn {

class TDN_EXPORT ZipReader {
 public:
  /// Verifies the whole archive, the CRC-32 of every stored record too. Throws tdn::Error whose
  /// message is a clause ("the record 'data/3' has a wrong checksum"). The bytes are not copied.
  explicit ZipReader(std::string_view bytes);

  /// Whether bytes start as those of a zip file do.
  static bool has_signature(std::string_view bytes);

  /// Contents by name, without the folder that all records of an archive share.
  const std::map<std::string, std::string_view, std::less<>> &records() const { return records_; }

  /// One of the compressed records, which are not verified and not among `records`; else "".
  const std::string &compressed() const { return compressed_; }

  /// Null when there is no such record.
  const std::string_view *find(std::string_view name) const;

 private:
  std::map<std::string, std::string_view, std::less<>> records_;
  std::string compressed_;
};

}    // namespace tdn
