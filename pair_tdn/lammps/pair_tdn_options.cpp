// Parsing and checking of the keywords.

#include "pair_tdn_options.h"

#include "errors.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace tdn {

namespace {

/// Means any positive number among a keyword's values.
const std::string MEGABYTES = "MB";

struct Keyword {
  const char *name;
  std::vector<std::string> values;
  std::string Options::*member;
};

const std::vector<Keyword> &keywords()
{
  static const std::vector<Keyword> table = {
      {"device", {"auto", "cpu", "cuda"}, &Options::device},
      {"precision", {"model", "float32", "float64"}, &Options::precision},
      {"forces", {"gradient", "direct", "correction"}, &Options::forces},
      {"memory", {"auto", MEGABYTES}, &Options::memory},
      {"wire", {"model", "bfloat16"}, &Options::wire},
      {"net_force", {"keep", "remove"}, &Options::net_force},
      {"ensemble", {"first", "mean"}, &Options::ensemble},
      {"engine", {"auto", "fused", "script"}, &Options::engine},
  };
  return table;
}

const Keyword &find_keyword(const std::string &name)
{
  std::vector<std::string> names;
  for (const auto &keyword : keywords()) {
    if (name == keyword.name) return keyword;
    names.emplace_back(keyword.name);
  }
  throw Error("unknown keyword '" + name + "' of pair_style tdn: use " + join(names));
}

/// "12.5" -> 12.5; 0 for anything but a positive number.
double positive_number(const std::string &text)
{
  double value = 0;
  const auto *end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  return failure == std::errc() && stop == end && std::isfinite(value) ? std::max(0.0, value) : 0;
}

bool is_allowed(const std::string &value, const std::vector<std::string> &known)
{
  const bool numbers = std::find(known.begin(), known.end(), MEGABYTES) != known.end();
  if (numbers && value == MEGABYTES) return false;
  if (numbers && positive_number(value) > 0) return true;
  return std::find(known.begin(), known.end(), value) != known.end();
}

}    // namespace

Options::Options(const std::vector<std::string> &words)
{
  for (size_t k = 0; k < words.size(); k += 2) {
    const auto &keyword = find_keyword(words[k]);
    const std::string value = k + 1 < words.size() ? words[k + 1] : "";
    if (!is_allowed(value, keyword.values))
      throw Error("keyword " + words[k] + " has the value '" + value + "': use " +
                  join(keyword.values));
    this->*keyword.member = value;
  }
}

Precision Options::model_precision(const ModelMetadata &model) const
{
  if (precision == "model") return model.dtype;
  return precision == "float32" ? Precision::FLOAT32 : Precision::FLOAT64;
}

double Options::memory_limit() const
{
  return 1e6 * positive_number(memory);
}

ForceKind Options::force_kind(const ModelMetadata &model, const std::string &file) const
{
  const std::string &kind = forces.empty() ? model.force_kinds.front() : forces;
  const bool correction = kind == "correction";
  for (const char *part : {"gradient", "direct"})
    if ((correction || kind == part) && !model.has_force_kind(part))
      throw Error("model file '" + file + "' has no " + part + " forces: use forces " +
                  join(model.force_kinds));
  if (correction) return ForceKind::CORRECTION;
  return kind == "direct" ? ForceKind::DIRECT : ForceKind::GRADIENT;
}

std::string weaknesses(const ModelMetadata &model)
{
  std::string out;
  if (model.energy_convention == "per_atom")
    out = "gives a per-atom energy that does not grow with the number of atoms";
  if (!model.smooth_cutoff)
    out += std::string(out.empty() ? "" : " and ") +
           "has no smooth cutoff, so energy jumps when a pair crosses it";
  return out;
}

}    // namespace tdn
