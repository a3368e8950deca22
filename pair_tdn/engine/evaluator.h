// Runs a model on a graph, with an exchange of rows between its layers, and differentiates it.
#pragma once

#include "archive/model_archive.h"
#include "exchange/feature_exchange.h"
#include "graph/neighbor_graph.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tdn {

/// CORRECTION is the gradient minus the direct forces, so both are wanted.
enum class ForceKind { GRADIENT, DIRECT, CORRECTION };

/// Results on the evaluator's device, valid until its next evaluation.
struct Evaluation {
  at::Tensor atom_energies;     ///< (n_owned) eV
  at::Tensor edge_gradients;    ///< (n_edges, 3) dE/dr_ij, eV/angstrom; undefined for DIRECT
  at::Tensor direct_forces;     ///< (n_owned, 3) eV/angstrom; undefined for GRADIENT
};

class Evaluator {
 public:
  explicit Evaluator(std::vector<int> species) : species_(std::move(species)) {}
  virtual ~Evaluator() = default;

  /// Species that may stand in a graph.
  const std::vector<int> &species() const { return species_; }

  /// Energy of the owned atoms and its gradient by edge vectors, or direct forces. Collective
  /// through `exchange`: the sequence of exchanges is the same on every rank, whatever the graph
  /// holds.
  virtual Evaluation evaluate(const NeighborGraph::Tensors &graph, FeatureExchange &exchange,
                              ForceKind kind) = 0;

  virtual c10::Device device() const = 0;
  virtual at::ScalarType dtype() const = 0;
  /// "fused avx512", "script", ...
  virtual std::string name() const = 0;
  /// Bytes kept from one evaluation to the next, without the weights; 0 when torch has it all.
  virtual double kept_bytes() const { return 0; }
  /// Gives up what kept_bytes() counts.
  virtual void release() {}

  /// Seconds of all threads by stage ("forward products", ...) since they were asked for; empty
  /// when the engine does not know.
  virtual void start_times() {}
  virtual std::map<std::string, double> times() const { return {}; }

 private:
  std::vector<int> species_;
};

/// How to run an archive.
struct EvaluatorOptions {
  c10::Device device = c10::kCPU;
  at::ScalarType dtype = at::kFloat;
  /// auto: the fused engine where it can run the model, else the script engine.
  std::string engine = "auto";
  /// Species of the run; the fused engine makes tables for their pairs only. Empty: all.
  std::vector<int> species;
};

/// Throws tdn::Error when the engine asked for cannot run the model.
std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                          const EvaluatorOptions &options);

}    // namespace tdn
