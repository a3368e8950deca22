// Reader of zip archives: the same records, or one sentence.

#include "archive/model_archive.h"
#include "archive/zip_reader.h"
#include "check.h"
#include "errors.h"
#include "printable.h"
#include "zip_writer.h"

#include <optional>

namespace {

using tdn::Error;
using tdn::ZipReader;
using Contents = std::map<std::string, std::string>;

const std::vector<zip::Record> RECORDS{
    {"m/extra/metadata.json", "{}"}, {"m/data/0", std::string(100, 'x')}, {"m/empty", ""}};

/// What an archive holds, or nothing where it is refused.
std::optional<Contents> read(const std::string &bytes)
{
  try {
    const ZipReader reader(bytes);
    Contents out;
    for (const auto &[name, content] : reader.records()) out[name] = std::string(content);
    return out;
  } catch (const Error &) {
    return {};
  }
}

}    // namespace

CASE(crc32_of_known_texts)
{
  EXPECT_EQUAL(tdn::crc32(""), 0U);
  EXPECT_EQUAL(tdn::crc32("123456789"), 0xCBF43926U);    // the check value of the standard
  EXPECT_EQUAL(tdn::crc32("The quick brown fox jumps over the lazy dog"), 0x414FA339U);
}

CASE(zip_records_are_read)
{
  const auto found = read(zip::archive(RECORDS));
  EXPECT(found.has_value());
  EXPECT(
      *found ==
      (Contents{{"extra/metadata.json", "{}"}, {"data/0", std::string(100, 'x')}, {"empty", ""}}));
}

CASE(zip_sizes_in_64_bits)
{
  auto records = RECORDS;
  for (auto &record : records) record.zip64 = true;
  EXPECT(read(zip::archive(records)) == read(zip::archive(RECORDS)));
}

CASE(zip_of_torch_is_read)
{
  const auto bytes = tdn::ModelArchive::read_bytes(check::archives + "/pair-float64.tdn.pt");
  const ZipReader reader(bytes);
  EXPECT(reader.find("extra/metadata.json")->starts_with("{"));
  EXPECT(reader.find("data.pkl") != nullptr);
  EXPECT(reader.find("other") == nullptr);
}

CASE(zip_refusals_name_the_record)
{
  const auto refuse = [](const zip::Record &record, const char *cause) {
    auto records = RECORDS;
    records.push_back(record);
    const auto bytes = zip::archive(records);
    const auto sentence = check::sentence<Error>([&] { ZipReader{bytes}; });
    check::that(sentence.find(cause) != std::string::npos, __FILE__, __LINE__, cause, sentence);
  };
  refuse({"m/a", "x", 0, 0x809}, "the record 'm/a' is encrypted");
  refuse({"m/data/0", "x"}, "the record 'm/data/0' occurs twice");
  refuse({"m/DATA/0", "x"}, "the record 'm/DATA/0' occurs twice");
  refuse({"other/a", "x"}, "the record 'other/a' is not in the folder");
  refuse({"m/a", "x", 0, 0x808, false, "m/b"}, "the record 'm/a' has another header");
  refuse({"m/\x1b[31m", "x", 0, 0x809}, "the record 'm/\\x1b[31m' is encrypted");
  auto bytes = zip::archive(RECORDS);
  bytes[bytes.find("xxx")] = 'y';
  EXPECT_THROWS(Error, "the record 'm/data/0' has a wrong checksum", ZipReader{bytes});
  EXPECT_THROWS(Error, "it ends too early", ZipReader{"PK"});
}

CASE(zip_tells_of_compressed_records)
{
  auto records = RECORDS;
  records.push_back({"m/a\n", "x", 8});
  const auto bytes = zip::archive(records);
  EXPECT_EQUAL(ZipReader(bytes).compressed(), "m/a\\x0a");
  EXPECT(read(bytes) == read(zip::archive(RECORDS)));
}

CASE(zip_cut_or_with_more_bytes_anywhere_is_refused)
{
  const auto bytes = zip::archive(RECORDS);
  for (size_t n = 0; n < bytes.size(); ++n) {
    auto more = bytes;
    check::that(!read(bytes.substr(0, n)), __FILE__, __LINE__, "accepted when cut after", n);
    check::that(!read(more.insert(n, "\x01")), __FILE__, __LINE__, "accepted with a byte at", n);
  }
}

CASE(zip_with_any_byte_changed_is_refused_or_the_same)
{
  const auto bytes = zip::archive(RECORDS);
  const auto expected = read(bytes);
  int n_same = 0;
  for (size_t place = 0; place < bytes.size(); ++place)
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = bytes;
      changed[place] = static_cast<char>(changed[place] ^ (1 << bit));
      const auto found = read(changed);
      if (found) ++n_same;
      check::that(!found || *found == *expected, __FILE__, __LINE__, "changed at byte", place);
    }
  EXPECT(n_same < static_cast<int>(2 * bytes.size()));    // dates, versions and other idle fields
}

CASE(text_of_unknown_origin_is_made_printable)
{
  EXPECT_EQUAL(tdn::printable("a b~"), "a b~");
  EXPECT_EQUAL(tdn::printable(std::string("\0\x1b\x7f\xff\n", 5)), "\\x00\\x1b\\x7f\\xff\\x0a");
  EXPECT_EQUAL(tdn::printable(std::string(70, 'a')), std::string(60, 'a') + "...");
  EXPECT_EQUAL(tdn::printable_lines("a\n\x1b\r\n\nb"), "a\n\\x1b\\x0d\n\nb");
  EXPECT_EQUAL(tdn::printable_lines("a\n"), "a\n");
  EXPECT_EQUAL(tdn::printable_lines("ab\ncd", 4), "ab\nc...");
}
