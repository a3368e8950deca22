// Layout: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. A file is read from its end: end
// record, zip64 end record, central directory, and then each record must follow the one before it.

#include "zip_reader.h"

#include "crc32.h"
#include "errors.h"
#include "printable.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <vector>

namespace tdn {

namespace {

constexpr uint64_t SATURATED_16 = 0xFFFF, SATURATED_32 = 0xFFFFFFFF;
constexpr uint64_t LOCAL = 0x04034b50, CENTRAL = 0x02014b50, DESCRIPTOR = 0x08074b50;
constexpr uint64_t END = 0x06054b50, END_64 = 0x06064b50, LOCATOR_64 = 0x07064b50;
constexpr size_t LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, END_64_SIZE = 56;
constexpr size_t LOCATOR_64_SIZE = 20;
/// Flags that change nothing here: sizes follow the data, names are UTF-8.
constexpr uint64_t HAS_DESCRIPTOR = 8, UTF8_NAME = 0x800;

/// Little-endian numbers at offsets that must be within the bytes.
class Bytes {
 public:
  explicit Bytes(std::string_view all) : all_(all) {}

  uint64_t size() const { return all_.size(); }

  std::string_view part(uint64_t at, uint64_t size) const
  {
    if (at > all_.size() || size > all_.size() - at) throw Error("a part is outside of the file");
    return all_.substr(at, size);
  }

  uint64_t number(uint64_t at, int n_bytes) const
  {
    uint64_t value = 0;
    const auto digits = part(at, static_cast<uint64_t>(n_bytes));
    for (int k = n_bytes - 1; k >= 0; --k)
      value = (value << 8) | static_cast<unsigned char>(digits[static_cast<size_t>(k)]);
    return value;
  }

  void expect(uint64_t at, uint64_t signature, const char *what) const
  {
    if (number(at, 4) != signature) throw Error(std::string(what) + " is not where it should be");
  }

 private:
  std::string_view all_;
};

/// One entry of the central directory.
struct Entry {
  std::string name;
  uint64_t flags, method, crc, stored_size, size, offset;

  [[noreturn]] void refuse(const char *cause) const
  {
    throw Error("the record '" + printable(name) + "' " + cause);
  }
  bool is_compressed() const { return method != 0; }
  bool has_descriptor() const { return (flags & HAS_DESCRIPTOR) != 0; }
};

struct Directory {
  uint64_t n_entries, size, offset;
  uint64_t end;    ///< first byte after it
};

Directory find_directory(const Bytes &bytes)
{
  if (bytes.size() < END_SIZE) throw Error("it ends too early");
  const uint64_t end = bytes.size() - END_SIZE;
  bytes.expect(end, END, "the end of the directory");
  if (bytes.number(end + 4, 4) != 0 || bytes.number(end + 8, 2) != bytes.number(end + 10, 2))
    throw Error("it is one of several parts");
  const Directory small{bytes.number(end + 10, 2), bytes.number(end + 12, 4),
                        bytes.number(end + 16, 4), end};
  if (end < LOCATOR_64_SIZE + END_64_SIZE || bytes.number(end - LOCATOR_64_SIZE, 4) != LOCATOR_64)
    return small;
  const uint64_t locator = end - LOCATOR_64_SIZE, end64 = locator - END_64_SIZE;
  bytes.expect(end64, END_64, "the zip64 end of the directory");
  if (bytes.number(locator + 8, 8) != end64) throw Error("the zip64 locator points elsewhere");
  const Directory large{bytes.number(end64 + 32, 8), bytes.number(end64 + 40, 8),
                        bytes.number(end64 + 48, 8), end64};
  const auto agree = [](uint64_t value, uint64_t saturated, uint64_t wide) {
    return value == saturated || value == wide;
  };
  if (!agree(small.n_entries, SATURATED_16, large.n_entries) ||
      !agree(small.size, SATURATED_32, large.size) ||
      !agree(small.offset, SATURATED_32, large.offset))
    throw Error("the two ends of the directory disagree");
  return large;
}

/// Sizes and offsets that did not fit because they exceed 4 GB are in the extra field 1.
void widen(Entry &entry, std::string_view extra)
{
  const Bytes fields(extra);
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    const Bytes field(fields.part(at + 4, fields.number(at + 2, 2)));
    if (fields.number(at, 2) == 1) {
      uint64_t next = 0;
      for (uint64_t *value : {&entry.size, &entry.stored_size, &entry.offset})
        if (*value == SATURATED_32) {
          *value = field.number(next, 8);
          next += 8;
        }
    }
    at += 4 + field.size();
  }
}

/// Reads the entry at `at` and advances past it.
Entry read_entry(const Bytes &bytes, uint64_t &at)
{
  bytes.expect(at, CENTRAL, "an entry of the directory");
  const uint64_t n_name = bytes.number(at + 28, 2), n_extra = bytes.number(at + 30, 2),
                 n_comment = bytes.number(at + 32, 2);
  Entry entry{std::string(bytes.part(at + CENTRAL_SIZE, n_name)),
              bytes.number(at + 8, 2),
              bytes.number(at + 10, 2),
              bytes.number(at + 16, 4),
              bytes.number(at + 20, 4),
              bytes.number(at + 24, 4),
              bytes.number(at + 42, 4)};
  widen(entry, bytes.part(at + CENTRAL_SIZE + n_name, n_extra));
  at += CENTRAL_SIZE + n_name + n_extra + n_comment;
  if (entry.method == 0 && entry.stored_size != entry.size)
    entry.refuse("is stored with two sizes");
  if ((entry.flags & ~(HAS_DESCRIPTOR | UTF8_NAME)) != 0)
    entry.refuse("is encrypted or of an unknown kind");
  return entry;
}

std::vector<Entry> read_directory(const Bytes &bytes, const Directory &directory)
{
  if (directory.size > directory.end || directory.offset != directory.end - directory.size)
    throw Error("the directory is not where its end says");
  std::vector<Entry> entries;
  uint64_t at = directory.offset;
  while (at < directory.end) entries.push_back(read_entry(bytes, at));
  if (at != directory.end || entries.size() != directory.n_entries)
    throw Error("the directory has another size than its end says");
  std::sort(entries.begin(), entries.end(),
            [](const Entry &a, const Entry &b) { return a.offset < b.offset; });
  return entries;
}

/// What follows the data if the header was written before the sizes were known.
uint64_t descriptor_size(const Bytes &bytes, const Entry &entry, uint64_t at, uint64_t next)
{
  if (at == next) return 0;    // torch writes none after an empty record
  const int width = next - at == 24 ? 8 : 4;
  bytes.expect(at, DESCRIPTOR, "the sizes after a record");
  if (bytes.number(at + 4, 4) != entry.crc || bytes.number(at + 8, width) != entry.stored_size ||
      bytes.number(at + 8 + static_cast<uint64_t>(width), width) != entry.size)
    entry.refuse("has other sizes after it than in the directory");
  return 8 + 2 * static_cast<uint64_t>(width);
}

/// The header before a record agrees with the directory, or leaves the sizes open.
void check_header(const Bytes &bytes, const Entry &entry)
{
  const uint64_t at = entry.offset;
  bytes.expect(at, LOCAL, "the header of a record");
  if (bytes.number(at + 6, 2) != entry.flags || bytes.number(at + 8, 2) != entry.method ||
      bytes.part(at + LOCAL_SIZE, bytes.number(at + 26, 2)) != entry.name)
    entry.refuse("has another header than the directory says");
  const auto agree = [&](uint64_t value, uint64_t expected) {
    return value == expected || value == SATURATED_32 || (entry.has_descriptor() && value == 0);
  };
  if (!agree(bytes.number(at + 14, 4), entry.crc) ||
      !agree(bytes.number(at + 18, 4), entry.stored_size) ||
      !agree(bytes.number(at + 22, 4), entry.size))
    entry.refuse("has another size in its header than in the directory");
}

/// The data of a record that fills the file from its header to `next`.
std::string_view read_record(const Bytes &bytes, const Entry &entry, uint64_t next)
{
  check_header(bytes, entry);
  const uint64_t data = entry.offset + LOCAL_SIZE + bytes.number(entry.offset + 26, 2) +
                        bytes.number(entry.offset + 28, 2);
  const auto content = bytes.part(data, entry.stored_size);
  uint64_t end = data + entry.stored_size;
  if (entry.has_descriptor()) end += descriptor_size(bytes, entry, end, next);
  if (end != next) entry.refuse("does not end where the next one begins");
  if (!entry.is_compressed() && crc32(content) != entry.crc) entry.refuse("has a wrong checksum");
  return content;
}

/// torch ignores the case of names, so names that differ only in case are the same.
std::string lower(std::string text)
{
  for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}    // namespace

bool ZipReader::has_signature(std::string_view bytes)
{
  return bytes.starts_with("PK\x03\x04");
}

ZipReader::ZipReader(std::string_view archive)
{
  const Bytes bytes(archive);
  const auto directory = find_directory(bytes);
  const auto entries = read_directory(bytes, directory);
  if (entries.empty() || entries.front().offset != 0) throw Error("its first record is missing");
  const auto folder = entries.front().name.substr(0, entries.front().name.find('/') + 1);
  std::set<std::string> seen;
  for (size_t k = 0; k < entries.size(); ++k) {
    const auto &entry = entries[k];
    const uint64_t next = k + 1 < entries.size() ? entries[k + 1].offset : directory.offset;
    if (!entry.name.starts_with(folder)) entry.refuse("is not in the folder of the others");
    if (!seen.insert(lower(entry.name)).second) entry.refuse("occurs twice");
    const auto content = read_record(bytes, entry, next);
    if (entry.is_compressed()) compressed_ = printable(entry.name);
    else records_[entry.name.substr(folder.size())] = content;
  }
}

const std::string_view *ZipReader::find(std::string_view name) const
{
  const auto hit = records_.find(name);
  return hit == records_.end() ? nullptr : &hit->second;
}

}    // namespace tdn
