#include "script_weights.h"

#include "archive/archive_schema.h"
#include "engine/radial_tables.h"
#include "ops/named_tensors.h"
#include "script_module.h"

#include <ATen/Functions.h>

namespace tdn {

namespace {

NamedArrays weights_of_pairs(const torch::jit::Module &module, const std::vector<int> &species,
                             int n_elements)
{
  std::vector<int64_t> pairs;
  for (const int a : species)
    for (const int b : species) pairs.push_back(static_cast<int64_t>(a) * n_elements + b);
  const c10::AutoGradMode off(false);
  const auto found = module.get_method(schema::FUSED_WEIGHTS)({at::tensor(pairs)}).toGenericDict();
  NamedArrays out;
  for (const auto &item : found) out[item.key().toStringRef()] = array_of(item.value().toTensor());
  return out;
}

/// Examines the tables of at most two elements before those of many are made.
void check_tables(const torch::jit::Module &module, const EvaluatorOptions &options, int n_elements)
{
  auto few = options.species;
  few.resize(std::min<size_t>(few.size(), 2));
  const auto n_pairs = static_cast<int64_t>(few.size() * few.size());
  double numbers = 0;    // grows with every pair, unless the networks ignore the elements
  for (const auto &[name, table] : weights_of_pairs(module, few, n_elements))
    if (name.ends_with("table") && table.shape.at(0) == n_pairs)
      numbers += static_cast<double>(table.size()) / static_cast<double>(n_pairs);
  check_size_of_tables(static_cast<int64_t>(options.species.size()), numbers, options.precision);
}

}    // namespace

std::optional<NamedArrays> read_fused_weights(const ModelArchive &archive,
                                              const EvaluatorOptions &options)
{
  const auto module = load_module(archive, c10::kCPU, at::kDouble);
  if (!module.hasattr(schema::N_KNOTS) || module.attr(schema::N_KNOTS).toInt() == 0) return {};
  const int n_elements = archive.metadata().n_elements();
  check_tables(module, options, n_elements);
  return weights_of_pairs(module, options.species, n_elements);
}

}    // namespace tdn
