// Runs a model in segments, with an exchange of rows between them, and differentiates it by one
// vector-Jacobian product per segment in reverse order.
#pragma once

#include "feature_exchange.h"
#include "model_metadata.h"
#include "neighbor_graph.h"

#include <torch/csrc/jit/api/module.h>

#include <vector>

namespace tdn {

/// CORRECTION is the gradient minus the direct forces, so both are wanted.
enum class ForceKind { GRADIENT, DIRECT, CORRECTION };

/// Results on the evaluator's device, model dtype.
struct Evaluation {
  at::Tensor atom_energies;     ///< (n_owned) eV
  at::Tensor edge_gradients;    ///< (n_edges, 3) dE/dr_ij, eV/angstrom; undefined for DIRECT
  at::Tensor direct_forces;     ///< (n_owned, 3) eV/angstrom; undefined for GRADIENT
};

class Evaluator {
 public:
  Evaluator(torch::jit::Module module, const ModelMetadata &metadata, c10::Device device,
            at::ScalarType dtype);

  /// Energy of the owned atoms and its gradient by edge vectors, or direct forces. Collective
  /// through `exchange`: the sequence of exchanges is the same on every rank, whatever the graph
  /// holds.
  Evaluation evaluate(const NeighborGraph::Tensors &graph, FeatureExchange &exchange,
                      ForceKind kind);

  c10::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }

 private:
  c10::Device device_;
  at::ScalarType dtype_;
  torch::jit::Module module_;
  std::vector<torch::jit::Module> layers_;

  struct Pass;    // the tensors of one evaluation
};

}    // namespace tdn
