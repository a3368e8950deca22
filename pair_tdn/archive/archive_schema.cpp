#include "archive_schema.h"

#include <algorithm>
#include <string>

namespace tdn::schema {

namespace {

/// Length of "layers.12." at the start of a name, else 0.
size_t length_of_layer(std::string_view name)
{
  constexpr std::string_view BEGIN = "layers.";
  if (!name.starts_with(BEGIN)) return 0;
  const auto end = name.find_first_not_of("0123456789", BEGIN.size());
  const bool found = end != name.npos && end > BEGIN.size() && name[end] == '.';
  return found ? end + 1 : 0;
}

bool is_listed(const std::string &form)
{
  return std::find(KNOWN_WEIGHTS.begin(), KNOWN_WEIGHTS.end(), form) != KNOWN_WEIGHTS.end();
}

}    // namespace

bool is_weight(std::string_view name)
{
  const auto layer = length_of_layer(name);
  const auto block = layer > 0 ? layer : name.find('.') + 1;
  const std::string rest(name.substr(block));
  const bool head = name.substr(0, block) == "force_head.";
  const bool embedding = name.substr(0, block) == "embedding.";
  if (name.substr(0, block) == "pair_term.") return true;
  return is_listed(std::string(name)) || (layer > 0 && is_listed("layers.{k}." + rest)) ||
         ((layer > 0 || head) && is_listed("{attention}." + rest)) ||
         ((layer > 0 || head || embedding) && is_listed("{radial}." + rest));
}

}    // namespace tdn::schema
