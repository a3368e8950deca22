// The segments of an archive as TorchScript, differentiated by one vector-Jacobian product per
// segment in reverse order. Runs every archive on every device.
#pragma once

#include "engine/evaluator.h"
#include "script_pass.h"

namespace tdn {

class ScriptEvaluator : public Evaluator {
 public:
  ScriptEvaluator(const ModelArchive &archive, const EvaluatorOptions &options);

  Evaluation evaluate(const NeighborGraph::View &graph, FeatureExchange &exchange,
                      ForceKind kind) override;
  Device device() const override { return device_; }
  Precision precision() const override { return precision_; }
  std::string name() const override { return "script"; }
  std::string library() const override;
  double kept_bytes() const override;
  double temporary_bytes() const override { return temporary_bytes_; }
  void release() override;

 private:
  Device device_;
  Precision precision_;
  script::ScriptModel model_;

  /// Results of the last evaluation, on the host.
  struct Results {
    at::Tensor energies, gradients, forces;
  };
  Results results_;
  double temporary_bytes_ = 0;

  Results run(const NeighborGraph::View &graph, FeatureExchange &exchange, ForceKind kind);
};

}    // namespace tdn
