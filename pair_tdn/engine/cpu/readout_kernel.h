// Scalar rows of centers -> values, and their gradients.
#pragma once

#include "node_kernel.h"
#include "rows.h"

namespace tdn::TDN_ISA {

/// value = <w_out, silu(hidden)> + b_out with hidden = W norm(x) + b; the range's part of `readout`
/// in kernels.h.
template <typename T>
void readout(const fused::Model<T> &m, const fused::Readout<T> &w, const T *x, T *values, T *grad_x,
             const fused::Range<T> &range)
{
  const NodeKernel<T> node(m);
  Scratch<T> scratch{range.scratch};
  T *normed = scratch.take(chunk_size(m, 1)), *hidden = scratch.take(chunk_size(m, 1));
  for_chunks(range, [&](int64_t begin, int n) {
    const T *from = x + offset(m, begin, 1);
    node.norm(w.norm, from, normed, n, 1);
    node.scalar_linear(w.hidden, normed, hidden, n, 1);
    for (int i = 0; i < n; ++i) {
      Vec<T> sum{};
      for (int v = 0; v < m.stride; v += LANES<T>) {
        T *at = hidden + i * m.stride + v;
        const Vec<T> h = load(at), s = sigmoid<T>(h), out = m.silu_scale * load(w.out + v);
        sum += out * h * s;
        store(at, out * s * (T(1) + h * (T(1) - s)));
      }
      values[begin + i] = sum_of<T>(sum) + w.bias;
    }
    if (!grad_x) return;
    T *to = grad_x + offset(m, begin, 1);
    clear(to, n * m.stride);
    node.linear_vjp(w.hidden, hidden, normed, n);
    node.norm_vjp(w.norm, from, normed, to, n, 1);
  });
}

}    // namespace tdn::TDN_ISA
