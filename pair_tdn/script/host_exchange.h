// Tensors through an exchange, which works in host memory: in place on the CPU, through pinned
// memory for a model on a GPU.
#pragma once

#include "exchange/feature_exchange.h"

#include <ATen/core/Tensor.h>

namespace tdn {

/// (n_owned, width) -> (n_rows, width), without a copy if there are no further rows.
at::Tensor exchange_forward(FeatureExchange &exchange, const at::Tensor &owned);

/// Gradient of all rows (n_rows, width) -> gradient of the owned rows (n_owned, width)
at::Tensor exchange_adjoint(FeatureExchange &exchange, const at::Tensor &gradient);

}    // namespace tdn
