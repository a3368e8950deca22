#include "evaluator.h"

#include "engine/cpu/fused_evaluator.h"
#include "script/script_evaluator.h"

namespace tdn {

std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                          const EvaluatorOptions &asked)
{
  if (asked.engine != "auto" && asked.engine != "fused" && asked.engine != "script")
    throw Error("engine is '" + asked.engine + "': use auto, fused or script");
  auto options = asked;
  for (int k = 0; k < archive.metadata().n_elements() && asked.species.empty(); ++k)
    options.species.push_back(k);
  if (options.engine != "script") {
    std::string reason;
    if (auto fused = make_fused_evaluator(archive, options, reason)) return fused;
    if (options.engine == "fused")
      throw Error("engine fused cannot run '" + archive.file() + "' because " + reason +
                  ": use engine auto or script");
  }
  return std::make_unique<ScriptEvaluator>(archive, options);
}

}    // namespace tdn
