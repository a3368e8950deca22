#include "evaluator.h"

#include "fused_evaluator.h"
#include "radial_tables.h"
#include "script_library.h"
#include "tabulation.h"

namespace tdn {

namespace {

/// Weights of the fused engine by name, with tables for the pairs of `options.species`. Nothing if
/// the archive holds none.
std::optional<NamedArrays> fused_weights(const ModelArchive &archive,
                                         const EvaluatorOptions &options)
{
  if (archive.metadata().format_version >= 2) {
    if (!archive.has_weights()) return {};
    auto weights = archive.weights();
    check_size_of_tables(static_cast<int64_t>(options.species.size()), numbers_per_pair(weights),
                         options.precision);
    tabulate(weights, options.species, archive.metadata().n_elements());
    return weights;
  }
  return script_library("model file '" + archive.file() + "' of archive format 1")
      .fused_weights(archive, options);
}

/// Null if the engine cannot run the model here, with the reason as a clause.
std::unique_ptr<Evaluator> try_fused(const ModelArchive &archive, const EvaluatorOptions &options,
                                     std::string &reason)
{
  if (!options.device.is_cpu()) {
    reason = "it runs on CPUs only";
    return nullptr;
  }
  const auto weights = fused_weights(archive, options);
  if (!weights) {
    reason = "the archive holds no tables of its radial networks";
    return nullptr;
  }
  return make_fused_evaluator(*weights, options, archive.metadata().n_elements(), reason);
}

}    // namespace

std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                          const EvaluatorOptions &asked)
{
  if (asked.engine != "auto" && asked.engine != "fused" && asked.engine != "script")
    throw Error("engine is '" + asked.engine + "': use auto, fused or script");
  auto options = asked;
  for (int k = 0; k < archive.metadata().n_elements() && asked.species.empty(); ++k)
    options.species.push_back(k);
  std::unique_ptr<Evaluator> evaluator;
  std::string reason;
  if (options.engine != "script") evaluator = try_fused(archive, options, reason);
  if (!evaluator && options.engine == "fused")
    throw Error("engine fused cannot run '" + archive.file() + "' because " + reason +
                ": use engine auto or script");
  if (!evaluator) evaluator = script_library("engine script").make_evaluator(archive, options);
  evaluator->set_n_threads(options.n_threads);
  return evaluator;
}

}    // namespace tdn
