// Keywords of `pair_style tdn`, and their checks against a model's label.
#pragma once

#include "archive/model_metadata.h"
#include "engine/evaluator.h"
#include "exchange/ghost_exchange.h"

#include <string>
#include <vector>

namespace tdn {

struct Options {
  Options() = default;
  /// keyword value ...; throws tdn::Error for an unknown or incomplete keyword.
  explicit Options(const std::vector<std::string> &words);

  std::string device = "auto";        ///< auto, cpu or cuda
  std::string precision = "model";    ///< model, float32 or float64
  std::string forces;                 ///< gradient, direct, correction; empty: the model's default
  std::string memory = "auto";        ///< auto or MB: what a rank may hold
  std::string wire = "model";         ///< model or bfloat16: numbers in messages
  std::string net_force = "keep";     ///< keep or remove: mean of direct forces
  std::string ensemble = "first";     ///< first or mean: which of several models drives
  std::string engine = "auto";        ///< auto, fused or script

  Precision model_precision(const ModelMetadata &model) const;
  bool removes_net_force() const { return net_force == "remove"; }
  bool averages() const { return ensemble == "mean"; }
  Wire wire_kind() const { return wire == "bfloat16" ? Wire::BFLOAT16 : Wire::MODEL; }
  /// Bytes a rank may hold, 0 for auto.
  double memory_limit() const;
  /// Throws tdn::Error if the model does not have these forces.
  ForceKind force_kind(const ModelMetadata &model, const std::string &file) const;
};

/// What makes a model unsuitable for plain molecular dynamics, as a phrase; empty if nothing does.
std::string weaknesses(const ModelMetadata &model);

}    // namespace tdn
