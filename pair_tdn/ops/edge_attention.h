// The whole edge work of a layer as one operator, and its vector-Jacobian product as a second one:
// the kernels of the fused engine on plain tensors. For tests and other programs; the
// engine itself calls the kernels on packed weights. See engine/cpu/edge_work.h for the formulas.
#pragma once

#include "named_tensors.h"

#include <tuple>

namespace tdn {

/// Edges sorted by center, and the features at both ends.
struct EdgeOperands {
  at::Tensor rows;          ///< (n_rows, d, C), what neighbors sent
  at::Tensor center;        ///< (n_owned, d, C), of the centers
  at::Tensor first_edge;    ///< (n_owned + 1) int64
  at::Tensor neighbor;      ///< (n_edges) int64 or int32, row
  at::Tensor slot;          ///< (n_edges) int64 or int32, table
  at::Tensor vectors;       ///< (n_edges, 3) angstrom
};

/// `weights`: coupling, cutoff, envelope_power, norm_eps, silu_scale, sigmoid_scale,
/// sigmoid_attention (without it: softmax), and table, edge.weight, edge.bias, query, constant of
/// one layer. Returns the sums over the edges of each center (n_owned, d, C) and the attention
/// weights (n_edges, n_heads).
std::tuple<at::Tensor, at::Tensor> edge_attention(const EdgeOperands &edges,
                                                  const NamedTensors &weights);

/// Gradients of rows, center and vectors for a gradient (n_owned, d, C) of the sums.
std::tuple<at::Tensor, at::Tensor, at::Tensor> edge_attention_vjp(const at::Tensor &gradient,
                                                                  const at::Tensor &attended,
                                                                  const at::Tensor &attention,
                                                                  const EdgeOperands &edges,
                                                                  const NamedTensors &weights);

}    // namespace tdn
