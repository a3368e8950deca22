// The pass: the order of forward segments, exchanges and backward segments. All numbers are in a
// backend.
#pragma once

#include "backend.h"

namespace tdn {

/// One evaluation by a backend.
class Pass {
 public:
  Pass(Backend &backend, FeatureExchange &exchange, ForceKind kind);

  Evaluation run(const NeighborGraph::View &graph, int n_threads);
  /// Ends with the values of the head; see Backend::head_values.
  void run_to_head(const NeighborGraph::View &graph, int n_threads);

 private:
  Backend &backend_;
  FeatureExchange &exchange_;
  const PassPlan plan_;

  void forward();
  void direct_forces();
  void backward();
  void backward_layer(int layer);
};

}    // namespace tdn
