// Parsing and checking of the keywords.

#include "pair_tdn_options.h"

#include "errors.h"

#include <algorithm>

namespace tdn {

namespace {

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
      {"forces", {"gradient", "direct"}, &Options::forces},
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

}    // namespace

Options::Options(const std::vector<std::string> &words)
{
  for (size_t k = 0; k < words.size(); k += 2) {
    const auto &keyword = find_keyword(words[k]);
    const std::string value = k + 1 < words.size() ? words[k + 1] : "";
    const auto &known = keyword.values;
    if (std::find(known.begin(), known.end(), value) == known.end())
      throw Error("keyword " + words[k] + " has the value '" + value + "': use " + join(known));
    this->*keyword.member = value;
  }
}

at::ScalarType Options::dtype(const ModelMetadata &model) const
{
  if (precision == "model") return model.dtype;
  return precision == "float32" ? at::kFloat : at::kDouble;
}

ForceKind Options::force_kind(const ModelMetadata &model, const std::string &file) const
{
  const std::string &kind = forces.empty() ? model.force_kinds.front() : forces;
  if (!model.has_force_kind(kind))
    throw Error("model file '" + file + "' has no " + kind + " forces: use forces " +
                join(model.force_kinds));
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
