// CPU kernels of the edge product; every other device computes the same with plain tensor
// operations.

#include "edge_product.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <type_traits>

// One binary for every x86-64 processor: the loader picks the widest vector unit at run time.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define TDN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TDN_CLONES
#endif
#define TDN_INLINE __attribute__((always_inline)) inline

namespace tdn {

namespace {

/// Pointers to contiguous operands; gradients are null in the forward product.
template <typename T> struct Operands {
  const T *coupling, *message, *weight;
  T *out;
  const T *gradient;
  T *grad_coupling, *grad_message, *grad_weight;
  int64_t d, n_channels;
};

/// Matrix rows known at compile time (D > 0) let the compiler unroll and vectorize over channels.
template <typename T, int D> TDN_INLINE void forward_edge(const Operands<T> &a, int64_t e)
{
  const int64_t d = D ? D : a.d, n = a.n_channels;
  const T *__restrict K = a.coupling + e * d * d;
  const T *__restrict m = a.message + e * d * n;
  const T *__restrict w = a.weight + e * n;
  T *__restrict out = a.out + e * d * n;
  for (int64_t k = 0; k < d; ++k)
    for (int64_t c = 0; c < n; ++c) {
      T sum = 0;
      for (int64_t i = 0; i < d; ++i) sum += K[k * d + i] * m[i * n + c];
      out[k * n + c] = w[c] * sum;
    }
}

/// grad_message = w * K^T g;  with p = K^T g also grad_weight = sum_i m p.
template <typename T, int D> TDN_INLINE void backward_edge(const Operands<T> &a, int64_t e)
{
  const int64_t d = D ? D : a.d, n = a.n_channels;
  const T *__restrict K = a.coupling + e * d * d;
  const T *__restrict m = a.message + e * d * n;
  const T *__restrict w = a.weight + e * n;
  const T *__restrict g = a.gradient + e * d * n;
  T *__restrict gK = a.grad_coupling + e * d * d;
  T *__restrict gm = a.grad_message + e * d * n;
  T *__restrict gw = a.grad_weight + e * n;
  for (int64_t c = 0; c < n; ++c) gw[c] = 0;
  for (int64_t i = 0; i < d; ++i)
    for (int64_t c = 0; c < n; ++c) {
      T sum = 0;
      for (int64_t k = 0; k < d; ++k) sum += K[k * d + i] * g[k * n + c];
      gm[i * n + c] = w[c] * sum;
      gw[c] += m[i * n + c] * sum;
    }
  // Eight partial sums: a single one cannot be vectorized without reordering additions.
  for (int64_t k = 0; k < d; ++k)
    for (int64_t i = 0; i < d; ++i) {
      std::array<T, 8> part{};
      int64_t c = 0;
      for (; c + 8 <= n; c += 8)
        for (int64_t l = 0; l < 8; ++l) part[l] += w[c + l] * g[k * n + c + l] * m[i * n + c + l];
      for (; c < n; ++c) part[0] += w[c] * g[k * n + c] * m[i * n + c];
      gK[k * d + i] =
          ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    }
}

template <typename T> using Edges = void (*)(const Operands<T> &, int64_t, int64_t);

// Multiversioned functions cannot be templates, hence one named function per type and size.
#define TDN_RANGE(NAME, EDGE, T, D)                                                  \
  TDN_CLONES void NAME##_##T##_##D(const Operands<T> &a, int64_t begin, int64_t end) \
  {                                                                                  \
    for (int64_t e = begin; e < end; ++e) EDGE<T, D>(a, e);                          \
  }
#define TDN_RANGES(NAME, EDGE, T) \
  TDN_RANGE(NAME, EDGE, T, 0)     \
  TDN_RANGE(NAME, EDGE, T, 4)     \
  TDN_RANGE(NAME, EDGE, T, 9)     \
  TDN_RANGE(NAME, EDGE, T, 16)

TDN_RANGES(forward, forward_edge, float)
TDN_RANGES(forward, forward_edge, double)
TDN_RANGES(backward, backward_edge, float)
TDN_RANGES(backward, backward_edge, double)

#define TDN_PICK(NAME, T)     \
  switch (d) {                \
    case 4:                   \
      return NAME##_##T##_4;  \
    case 9:                   \
      return NAME##_##T##_9;  \
    case 16:                  \
      return NAME##_##T##_16; \
    default:                  \
      return NAME##_##T##_0;  \
  }

template <typename T> Edges<T> forward_range(int64_t d)
{
  if constexpr (std::is_same_v<T, float>) TDN_PICK(forward, float) else TDN_PICK(forward, double)
}

template <typename T> Edges<T> backward_range(int64_t d)
{
  if constexpr (std::is_same_v<T, float>) TDN_PICK(backward, float) else TDN_PICK(backward, double)
}

/// Edges per task, so that a task is worth the cost of starting it.
int64_t grain(int64_t d, int64_t n_channels)
{
  return std::max<int64_t>(1, 65536 / (d * d * n_channels + 1));
}

void check_shapes(const at::Tensor &coupling, const at::Tensor &message, const at::Tensor &weight)
{
  TORCH_CHECK(coupling.dim() == 3 && message.dim() == 3 && weight.dim() == 2 &&
                  coupling.size(0) == message.size(0) && coupling.size(0) == weight.size(0) &&
                  coupling.size(1) == coupling.size(2) && coupling.size(2) == message.size(1) &&
                  message.size(2) == weight.size(1),
              "tdn::edge_product needs coupling (E,d,d), message (E,d,C) and weight (E,C), got ",
              coupling.sizes(), ", ", message.sizes(), " and ", weight.sizes());
  TORCH_CHECK(coupling.scalar_type() == message.scalar_type() &&
                  coupling.scalar_type() == weight.scalar_type(),
              "tdn::edge_product needs one dtype, got ", coupling.scalar_type(), ", ",
              message.scalar_type(), " and ", weight.scalar_type());
}

bool has_kernel(const at::Tensor &t)
{
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble);
}

}    // namespace

at::Tensor edge_product(const at::Tensor &coupling, const at::Tensor &message,
                        const at::Tensor &weight)
{
  check_shapes(coupling, message, weight);
  if (!has_kernel(message)) return at::matmul(coupling, message) * weight.unsqueeze(1);
  const auto K = coupling.contiguous(), m = message.contiguous(), w = weight.contiguous();
  auto out = at::empty_like(m);
  const int64_t d = m.size(1), n = m.size(2);
  AT_DISPATCH_FLOATING_TYPES(m.scalar_type(), "tdn::edge_product", [&] {
    const Operands<scalar_t> a{.coupling = K.const_data_ptr<scalar_t>(),
                               .message = m.const_data_ptr<scalar_t>(),
                               .weight = w.const_data_ptr<scalar_t>(),
                               .out = out.mutable_data_ptr<scalar_t>(),
                               .gradient = nullptr,
                               .grad_coupling = nullptr,
                               .grad_message = nullptr,
                               .grad_weight = nullptr,
                               .d = d,
                               .n_channels = n};
    const auto range = forward_range<scalar_t>(d);
    at::parallel_for(0, m.size(0), grain(d, n), [&](int64_t b, int64_t e) { range(a, b, e); });
  });
  return out;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor>
edge_product_backward_recorded(const at::Tensor &gradient, const at::Tensor &coupling,
                               const at::Tensor &message, const at::Tensor &weight)
{
  const auto weighted = gradient * weight.unsqueeze(1);
  return {at::matmul(weighted, message.transpose(1, 2)),
          at::matmul(coupling.transpose(1, 2), weighted),
          (gradient * at::matmul(coupling, message)).sum(1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> edge_product_backward(const at::Tensor &gradient,
                                                                     const at::Tensor &coupling,
                                                                     const at::Tensor &message,
                                                                     const at::Tensor &weight)
{
  if (!has_kernel(message))
    return edge_product_backward_recorded(gradient, coupling, message, weight);
  const auto g = gradient.contiguous(), K = coupling.contiguous(), m = message.contiguous(),
             w = weight.contiguous();
  auto gK = at::empty_like(K), gm = at::empty_like(m), gw = at::empty_like(w);
  const int64_t d = m.size(1), n = m.size(2);
  AT_DISPATCH_FLOATING_TYPES(m.scalar_type(), "tdn::edge_product_backward", [&] {
    const Operands<scalar_t> a{.coupling = K.const_data_ptr<scalar_t>(),
                               .message = m.const_data_ptr<scalar_t>(),
                               .weight = w.const_data_ptr<scalar_t>(),
                               .out = nullptr,
                               .gradient = g.const_data_ptr<scalar_t>(),
                               .grad_coupling = gK.mutable_data_ptr<scalar_t>(),
                               .grad_message = gm.mutable_data_ptr<scalar_t>(),
                               .grad_weight = gw.mutable_data_ptr<scalar_t>(),
                               .d = d,
                               .n_channels = n};
    const auto range = backward_range<scalar_t>(d);
    at::parallel_for(0, m.size(0), grain(d, n), [&](int64_t b, int64_t e) { range(a, b, e); });
  });
  return {gK, gm, gw};
}

}    // namespace tdn
