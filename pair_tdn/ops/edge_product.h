// The tensor product of one edge: out[e,k,c] = w[e,c] * sum_i K[e,k,i] m[e,i,c].
// K is the coupling matrix of the edge direction, m the message of the sender, w the radial weight.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace tdn {

/// Product without gradient recording; coupling (E,d,d), message (E,d,C), weight (E,C) -> (E,d,C).
at::Tensor edge_product(const at::Tensor &coupling, const at::Tensor &message,
                        const at::Tensor &weight);

/// Gradients of coupling, message and weight for a given gradient (E,d,C) of the product.
std::tuple<at::Tensor, at::Tensor, at::Tensor> edge_product_backward(const at::Tensor &gradient,
                                                                     const at::Tensor &coupling,
                                                                     const at::Tensor &message,
                                                                     const at::Tensor &weight);

/// The same in plain tensor operations, which autograd can differentiate again.
std::tuple<at::Tensor, at::Tensor, at::Tensor>
edge_product_backward_recorded(const at::Tensor &gradient, const at::Tensor &coupling,
                               const at::Tensor &message, const at::Tensor &weight);

}    // namespace tdn
