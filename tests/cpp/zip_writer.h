// Writes zip archives for tests, right ones and such that are wrong in one place.
#pragma once

#include "archive/crc32.h"

#include <cstdint>
#include <string>
#include <vector>

namespace zip {

inline std::string number(uint64_t value, int n_bytes)
{
  std::string out;
  for (int k = 0; k < n_bytes; ++k, value >>= 8) out += static_cast<char>(value & 0xFF);
  return out;
}

struct Record {
  std::string name, content;
  uint64_t method = 0, flags = 0x808;
  bool zip64 = false;              ///< sizes and offset in the extra field
  std::string name_in_header{};    ///< another one than in the directory
};

/// As torch writes: sizes behind the data, and a zip64 end.
struct Writer {
  std::string bytes, directory;
  uint64_t n_records = 0;

  void add(const Record &record)
  {
    const uint64_t offset = bytes.size(), crc = tdn::crc32(record.content);
    const uint64_t size = record.content.size();
    const auto &name = record.name_in_header.empty() ? record.name : record.name_in_header;
    bytes += "PK\x03\x04" + number(0, 2) + number(record.flags, 2) + number(record.method, 2) +
             number(0, 16) + number(name.size(), 2) + number(4, 2) + name + "FB" + number(0, 2) +
             record.content + "PK\x07\x08" + number(crc, 4) + number(size, record.zip64 ? 8 : 4) +
             number(size, record.zip64 ? 8 : 4);
    const uint64_t wide = 0xFFFFFFFF;
    const auto extra = record.zip64 ? number(1, 2) + number(24, 2) + number(size, 8) +
                                          number(size, 8) + number(offset, 8)
                                    : std::string();
    directory += "PK\x01\x02" + number(0, 4) + number(record.flags, 2) + number(record.method, 2) +
                 number(0, 4) + number(crc, 4) + number(record.zip64 ? wide : size, 4) +
                 number(record.zip64 ? wide : size, 4) + number(record.name.size(), 2) +
                 number(extra.size(), 2) + number(0, 10) + number(record.zip64 ? wide : offset, 4) +
                 record.name + extra;
    ++n_records;
  }

  std::string finish() const
  {
    const uint64_t at = bytes.size(), end64 = at + directory.size();
    const auto both = number(n_records, 2) + number(n_records, 2);
    return bytes + directory + "PK\x06\x06" + number(44, 8) + number(0, 12) + number(n_records, 8) +
           number(n_records, 8) + number(directory.size(), 8) + number(at, 8) + "PK\x06\x07" +
           number(0, 4) + number(end64, 8) + number(1, 4) + "PK\x05\x06" + number(0, 4) + both +
           number(directory.size(), 4) + number(0xFFFFFFFF, 4) + number(0, 2);
  }
};

inline std::string archive(const std::vector<Record> &records)
{
  Writer writer;
  for (const auto &record : records) writer.add(record);
  return writer.finish();
}

}    // namespace zip
