// Runs a model on a graph, with an exchange of rows between its layers, and differentiates it.
#pragma once

#include "archive/model_archive.h"
#include "exchange/feature_exchange.h"
#include "graph/neighbor_graph.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tdn {

/// CORRECTION is the gradient minus the direct forces, so both are needed.
enum class ForceKind { GRADIENT, DIRECT, CORRECTION };

/// Results on the host, in the evaluator's memory: valid until its next evaluation; until then the
/// caller may change them.
struct Evaluation {
  double *atom_energies = nullptr;       ///< (n_owned) eV
  std::optional<Rows> edge_gradients;    ///< (n_edges, 3) dE/dr_ij, eV/angstrom; not for DIRECT
  std::optional<Rows> direct_forces;     ///< (n_owned, 3) eV/angstrom; not for GRADIENT
};

class TDN_EXPORT Evaluator {
 public:
  explicit Evaluator(std::vector<int> species) : species_(std::move(species)) {}
  virtual ~Evaluator() = default;

  /// Species that may occur in a graph.
  const std::vector<int> &species() const { return species_; }

  /// Energy of the owned atoms and its gradient by edge vectors, or direct forces. Collective
  /// through `exchange`: the sequence of exchanges is the same on every rank, whatever the graph
  /// holds.
  virtual Evaluation evaluate(const NeighborGraph::View &graph, FeatureExchange &exchange,
                              ForceKind kind) = 0;

  virtual Device device() const = 0;
  virtual Precision precision() const = 0;
  /// "fused avx512", "script", ...
  virtual std::string name() const = 0;
  /// A library that computes for the engine, with its version; empty if there is none.
  virtual std::string library() const { return {}; }

  /// Bytes kept between evaluations, without the weights.
  virtual double kept_bytes() const = 0;
  /// Peak of the additional bytes in the last evaluation.
  virtual double temporary_bytes() const { return 0; }
  /// Frees what kept_bytes() counts.
  virtual void release() = 0;

  /// Seconds of all threads by stage ("forward products", ...) since start_times(); empty if the
  /// engine does not measure them.
  virtual void start_times() {}
  virtual std::map<std::string, double> times() const { return {}; }

  /// Number of threads of later evaluations; 0: OpenMP's default.
  void set_n_threads(int n) { n_threads_ = n; }
  int n_threads() const { return n_threads_; }

 private:
  std::vector<int> species_;
  int n_threads_ = 0;
};

/// How to run an archive.
struct EvaluatorOptions {
  Device device;
  Precision precision = Precision::FLOAT32;
  /// auto: the fused engine if it can run the model, else the script engine.
  std::string engine = "auto";
  /// Species of the run; the fused engine makes tables only for their pairs. Empty: all.
  std::vector<int> species;
  int n_threads = 0;    ///< as in Evaluator::set_n_threads
};

/// Throws tdn::Error if the requested engine cannot run the model.
TDN_EXPORT std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                                     const EvaluatorOptions &options);

}    // namespace tdn
