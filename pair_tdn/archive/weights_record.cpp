#include "weights_record.h"

#include "archive_schema.h"
#include "errors.h"
#include "printable.h"
#include "safetensors.h"
#include "sha256.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

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

std::string text(double number)
{
  std::ostringstream out;
  out << number;
  return out.str();
}

/// What both the label and the weights say. A label has no checksum of its own, since people write
/// to it, and edges up to another cutoff would give other energies.
void check_label(const NamedArrays &weights, const ModelMetadata &metadata)
{
  const std::pair<const char *, double> numbers[] = {
      {schema::CUTOFF, metadata.cutoff},
      {schema::N_LAYERS, static_cast<double>(metadata.n_layers())}};
  for (const auto &[name, stated] : numbers) {
    const auto found = weights.find(name);
    if (found == weights.end() || found->second.values.empty()) continue;
    const double value = found->second.values.front();
    if (!(std::abs(value - stated) <= 1e-6 * std::abs(stated)))
      throw Error(std::string(name) + " is " + text(value) + ", but the label says " +
                  text(stated));
  }
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
    check_label(weights, metadata);
    return weights;
  } catch (const Error &cause) {
    refuse(file, std::string("has weights that cannot be read (") + cause.what() +
                     "): deploy the model again");
  }
}

}    // namespace tdn
