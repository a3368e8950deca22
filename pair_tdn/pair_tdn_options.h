// Keywords of `pair_style tdn`, and what a model's label says about them.
#pragma once

#include "evaluator.h"
#include "model_metadata.h"

#include <string>
#include <vector>

namespace tdn {

struct Options {
  Options() = default;
  /// keyword value ...; throws tdn::Error for what is unknown or incomplete.
  explicit Options(const std::vector<std::string> &words);

  std::string device = "auto";        ///< auto, cpu or cuda
  std::string precision = "model";    ///< model, float32 or float64
  std::string forces;                 ///< gradient or direct; empty: the model's default

  at::ScalarType dtype(const ModelMetadata &model) const;
  /// Throws tdn::Error when the model cannot give these forces.
  ForceKind force_kind(const ModelMetadata &model, const std::string &file) const;
};

/// What makes a model unfit for plain molecular dynamics, one phrase, empty when nothing does.
std::string weaknesses(const ModelMetadata &model);

}    // namespace tdn
