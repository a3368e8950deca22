// Cost of an evaluation before the first step: small graphs are evaluated and extrapolated.
#pragma once

#include "evaluator.h"

namespace tdn {

/// fixed + per_atom n_owned + per_remote n_remote + per_edge n_edges
struct LinearCost {
  double fixed = 0, per_atom = 0, per_remote = 0, per_edge = 0;

  double operator()(double n_owned, double n_remote, double n_edges) const
  {
    return fixed + per_atom * n_owned + per_remote * n_remote + per_edge * n_edges;
  }
};

struct EvaluationCost {
  LinearCost bytes;      ///< peak, without weights
  LinearCost seconds;    ///< on an otherwise idle core or GPU, without messages
};

/// Evaluates random graphs of 64 to 128 atoms near `edges_per_atom`, each a few times, so that the
/// model is warmed up afterwards. No communication.
TDN_EXPORT EvaluationCost probe_cost(Evaluator &evaluator, const ModelMetadata &model,
                                     ForceKind kind, double edges_per_atom);

}    // namespace tdn
