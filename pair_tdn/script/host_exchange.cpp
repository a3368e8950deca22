#include "host_exchange.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace tdn {

namespace {

using at::Tensor;

/// Contiguous, on the host.
Rows rows_of(const Tensor &tensor)
{
  const auto precision =
      tensor.scalar_type() == at::kFloat ? Precision::FLOAT32 : Precision::FLOAT64;
  return {tensor.data_ptr(), tensor.size(0), tensor.size(1), precision};
}

/// Pinned for GPU tensors.
Tensor on_host(int64_t n, const Tensor &like)
{
  return at::empty({n, like.size(1)},
                   like.options().device(at::kCPU).pinned_memory(like.is_cuda()));
}

Tensor index_of(const std::vector<int64_t> &rows)
{
  return at::tensor(rows, at::kLong);
}

/// Rows that have copies go to the host, rows of other ranks come back.
Tensor forward_of_device(FeatureExchange &exchange, const Tensor &owned)
{
  const auto shared = index_of(exchange.shared_rows());
  const auto host = on_host(exchange.n_rows(), owned);
  host.index_copy_(0, shared, owned.index_select(0, shared.to(owned.device())).to(at::kCPU));
  exchange.fill(rows_of(host));
  if (!exchange.copies()) return owned;
  const auto others = host.slice(0, exchange.n_owned()).to(owned.device());
  return at::cat({owned, others});
}

Tensor adjoint_of_device(FeatureExchange &exchange, const Tensor &gradient)
{
  const auto shared = index_of(exchange.shared_rows());
  const auto host = on_host(gradient.size(0), gradient);
  host.slice(0, exchange.n_owned()).copy_(gradient.slice(0, exchange.n_owned()));
  host.index_fill_(0, shared, 0);
  exchange.fold(rows_of(host));
  auto owned = gradient.slice(0, 0, exchange.n_owned()).clone();
  return owned.index_add_(0, shared.to(owned.device()),
                          host.index_select(0, shared).to(owned.device()));
}

}    // namespace

Tensor exchange_forward(FeatureExchange &exchange, const Tensor &owned)
{
  if (!owned.is_cpu()) return forward_of_device(exchange, owned);
  auto rows = owned.contiguous();
  if (exchange.copies()) {
    rows = on_host(exchange.n_rows(), owned);
    rows.slice(0, 0, exchange.n_owned()).copy_(owned);
  }
  exchange.fill(rows_of(rows));
  return rows;
}

Tensor exchange_adjoint(FeatureExchange &exchange, const Tensor &gradient)
{
  if (!gradient.is_cpu()) return adjoint_of_device(exchange, gradient);
  const auto copy = gradient.clone(at::MemoryFormat::Contiguous);
  exchange.fold(rows_of(copy));
  return copy.slice(0, 0, exchange.n_owned());
}

}    // namespace tdn
