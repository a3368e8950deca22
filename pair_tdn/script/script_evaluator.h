// The segments of an archive as TorchScript, differentiated by one vector-Jacobian product per
// segment in reverse order. Runs every archive on every device.
#pragma once

#include "engine/evaluator.h"

#include <torch/csrc/jit/api/module.h>

namespace tdn {

class ScriptEvaluator : public Evaluator {
 public:
  ScriptEvaluator(const ModelArchive &archive, const EvaluatorOptions &options);

  Evaluation evaluate(const NeighborGraph::Tensors &graph, FeatureExchange &exchange,
                      ForceKind kind) override;
  c10::Device device() const override { return device_; }
  at::ScalarType dtype() const override { return dtype_; }
  std::string name() const override { return "script"; }

 private:
  c10::Device device_;
  at::ScalarType dtype_;
  torch::jit::Module module_;
  std::vector<torch::jit::Module> layers_;

  struct Graph;
  struct Pass;    // the tensors of one evaluation
};

}    // namespace tdn
