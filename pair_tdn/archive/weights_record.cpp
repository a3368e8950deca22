#include "weights_record.h"

#include "archive_schema.h"
#include "errors.h"
#include "printable.h"
#include "safetensors.h"
#include "sha256.h"

#include <algorithm>

namespace tdn {

namespace {

/// Archives of format 1 may lack these, which means the behavior before the options existed.
constexpr const char *OPTIONAL_BEFORE[] = {"norm_divides", "sigmoid_attention"};

[[noreturn]] void refuse(const std::string &file, const std::string &cause)
{
  throw Error("model file '" + file + "' " + cause);
}

const std::string_view *find_weights(const ZipReader &records)
{
  return records.find(std::string("extra/") + schema::WEIGHTS_RECORD);
}

}    // namespace

void verify_weights(const ZipReader &records, const ModelMetadata &metadata,
                    const std::string &file)
{
  if (metadata.format_version < 2) return;
  const auto *record = find_weights(records);
  if ((record ? sha256(*record) : "") != metadata.weights_sha256)
    refuse(file, "has weights other than those its label was written for: copy it again or "
                 "deploy the model again");
  for (const auto &name : metadata.weight_names)
    if (!schema::is_weight(name))
      refuse(file, "has a weight '" + printable(name) +
                       "' that this version does not know: update the package tdn");
}

NamedArrays read_weights(const ZipReader &records, const ModelMetadata &metadata,
                         const std::string &file)
{
  const auto *record = find_weights(records);
  if (!record) refuse(file, "has no weights for the fused engine: deploy the model again");
  try {
    auto weights = read_safetensors(*record);
    if (!std::equal(weights.begin(), weights.end(), metadata.weight_names.begin(),
                    metadata.weight_names.end(),
                    [](const auto &item, const auto &name) { return item.first == name; }))
      throw Error("their names are not those of the label");
    for (const char *name : OPTIONAL_BEFORE)
      if (!weights.contains(name)) throw Error(std::string("'") + name + "' is missing");
    return weights;
  } catch (const Error &cause) {
    refuse(file, std::string("has weights that cannot be read (") + cause.what() +
                     "): deploy the model again");
  }
}

}    // namespace tdn
