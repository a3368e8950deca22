// All archives are opened here.

#include "model_archive.h"

#include "archive_schema.h"
#include "errors.h"
#include "weights_record.h"

#include <fstream>
#include <sstream>
#include <string_view>

namespace tdn {

namespace {

/// Verifies every record before any of them is used.
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

/// A torch file without a label: a training checkpoint, or a file of another program.
[[noreturn]] void refuse_other_file(const ZipReader &records, const std::string &file)
{
  // The first key of a checkpoint's dictionary, as protocol 2 pickles a string.
  static const std::string key("X\x03\0\0\0tdn", 8);
  const auto *pickle = records.find("data.pkl");
  if (pickle && std::string_view(*pickle).find(key) != std::string_view::npos) {
    const auto dot = file.rfind('.');
    const auto slash = file.rfind('/');
    const bool has_suffix = dot != std::string::npos && (slash == std::string::npos || dot > slash);
    throw Error("model file '" + file + "' is a training checkpoint: run `tdn deploy " + file +
                " -o " + (has_suffix ? file.substr(0, dot) : file) +
                ".tdn.pt` and name that archive instead");
  }
  throw Error("model file '" + file + "' has no TDN label (" + schema::METADATA_RECORD +
              "), it is another program's model: write an archive with `tdn deploy` or "
              "`tdn import-airs`");
}

std::string read_label(const ZipReader &records, const std::string &file)
{
  const auto *text = records.find(std::string("extra/") + schema::METADATA_RECORD);
  if (!text) refuse_other_file(records, file);
  if (!records.compressed().empty())
    throw Error("model file '" + file + "' has a compressed record '" + records.compressed() +
                "', which this version cannot verify: write the file again with `tdn deploy`");
  return std::string(*text);
}

}    // namespace

ModelArchive::ModelArchive(std::string bytes, const std::string &file)
    : file_(file), bytes_(std::make_shared<const std::string>(std::move(bytes))),
      records_(read_records(*bytes_, file)), metadata_(read_label(records_, file), file)
{
  verify_weights(records_, metadata_, file_);
}

NamedArrays ModelArchive::weights() const
{
  return read_weights(records_, metadata_, file_);
}

std::string ModelArchive::read_bytes(const std::string &path)
{
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  if (in) out << in.rdbuf();
  if (!in || !out)
    throw Error("model file '" + path +
                "' cannot be read or is empty: check its name and permissions");
  std::string bytes = std::move(out).str();
  bytes.shrink_to_fit();    // a stream allocates up to twice as much
  return bytes;
}

ModelArchive ModelArchive::open(const std::string &path)
{
  return {read_bytes(path), path};
}

}    // namespace tdn
