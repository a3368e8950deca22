// A layer's functions of kernels.h for one l_max: chunks of centers go through node work, edge work
// and node work again while they are in the cache.
#pragma once

#include "edge_backward.h"
#include "edge_forward.h"
#include "node_kernel.h"
#include "rows.h"

namespace tdn::TDN_ISA {

/// Highest l_max with separate weights of paths; the 23 of l_max 3 take minutes to compile.
inline constexpr int MAX_SEPARATE = 2;

template <typename T, int L> class LayerKernel {
 public:
  static constexpr int D = (L + 1) * (L + 1);
  using V = Vec<T>;
  using Model = fused::Model<T>;
  using Weights = fused::Layer<T>;
  using Edges = fused::Edges<T>;
  using Arrays = fused::LayerArrays<T>;
  using Range = fused::Range<T>;

  static size_t scratch_size(const Model &m)
  {
    size_t of_edges = edge_scratch<Form::SHARED>(m);
    if constexpr (L > 0 && L <= MAX_SEPARATE)
      if (m.n_weights > 1) of_edges = edge_scratch<Form::SEPARATE>(m);
    return of_edges + static_cast<size_t>(m.stride) * CHUNK * (8 * D + 4) + 64 * 16;
  }

  static void send(const Model &m, const Weights &w, const T *x, T *rows, const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    T *normed = scratch.take(chunk_size(m, D));
    for_chunks(range, [&](int64_t begin, int n) {
      T *out = rows + offset(m, begin, D);
      node.norm(w.norm, x + offset(m, begin, D), normed, n, D);
      node.linear(w.send, normed, out, n * D);
      node.add_bias(w.send.bias, out, n, D);
    });
  }

  static void send_vjp(const Model &m, const Weights &w, const T *x, const T *grad_rows, T *grad_x,
                       const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    T *by_normed = scratch.take(chunk_size(m, D));
    for_chunks(range, [&](int64_t begin, int n) {
      const ptrdiff_t at = offset(m, begin, D);
      node.linear_vjp(w.send, grad_rows + at, by_normed, n * D);
      node.norm_vjp(w.norm, x + at, by_normed, grad_x + at, n, D);
    });
  }

  static void update(const Model &m, const Weights &w, const Edges &edges, const Arrays &a,
                     T *x_next, const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    T *normed = scratch.take(chunk_size(m, D)), *center = scratch.take(chunk_size(m, D));
    T *middle = scratch.take(chunk_size(m, D)), *values = scratch.take(chunk_size(m, D)),
      *gates = scratch.take(chunk_size(m, 1));
    with_kernel<EdgeForward>(m, w, edges, a, scratch, range, [&](auto &kernel) {
      for_chunks(range, [&](int64_t begin, int n) {
        T *attended = a.attended + offset(m, begin, a.d_out);
        node.norm(w.norm, a.x + offset(m, begin, D), normed, n, D);
        node.linear(w.center, normed, center, n * D);
        kernel.forward(begin, begin + n, center, attended);
        if (!x_next) return;
        add_attended(node, m, w, a, begin, n, middle);
        feed_forward(node, w, middle, normed, values, gates, n, a.d_out);
        T *next = x_next + offset(m, begin, a.d_out);
        copy(middle, next, n * a.d_out * m.stride);
        node.linear(w.feed_forward_out, values, next, n * a.d_out, true);
        node.add_bias(w.feed_forward_out.bias, next, n, a.d_out);
      });
    });
  }

  static void update_vjp(const Model &m, const Weights &w, const Edges &edges, const Arrays &a,
                         const T *grad_next, T *grad_x, T *grad_rows, const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    const size_t size = chunk_size(m, D);
    T *normed = scratch.take(size), *center = scratch.take(size), *by_center = scratch.take(size);
    T *middle = scratch.take(size), *values = scratch.take(size), *by_middle = scratch.take(size),
      *by_attended = scratch.take(size), *gates = scratch.take(chunk_size(m, 1));
    with_kernel<EdgeBackward>(m, w, edges, a, scratch, range, [&](auto &kernel) {
      for_chunks(range, [&](int64_t begin, int n) {
        const int rows = n * a.d_out;
        // back through the feed-forward part and the residual sum, to o
        add_attended(node, m, w, a, begin, n, middle);
        node.norm(w.feed_forward_norm, middle, normed, n, a.d_out);
        feed_forward_values(node, w, normed, values, gates, n, a.d_out);
        const T *gradient = grad_next + offset(m, begin, a.d_out);
        copy(gradient, by_middle, rows * m.stride);
        T *by_values = by_center;    // free until the edge work
        node.linear_vjp(w.feed_forward_out, gradient, by_values, rows);
        node.gate_vjp(values, gates, by_values, n, a.d_out);
        node.linear_vjp(w.feed_forward_values, by_values, normed, rows);
        node.scalar_linear_vjp(w.feed_forward_gates, gates, normed, n, a.d_out);
        node.norm_vjp(w.feed_forward_norm, middle, normed, by_middle, n, a.d_out);
        node.linear_vjp(w.out, by_middle, by_attended, rows);
        // edges, then c = W_d norm(x)
        node.norm(w.norm, a.x + offset(m, begin, D), normed, n, D);
        node.linear(w.center, normed, center, n * D);
        clear(by_center, n * D * m.stride);
        kernel.backward(begin, begin + n, center, by_attended, by_center, grad_rows);
        T *to = grad_x + offset(m, begin, D);
        spread_rows(m, by_middle, to, n, a.d_out);
        node.linear_vjp(w.center, by_center, normed, n * D);
        node.norm_vjp(w.norm, a.x + offset(m, begin, D), normed, to, n, D);
      });
    });
  }

  static void attend(const Model &m, const Weights &w, const Edges &edges, const Arrays &a,
                     const T *center, const Range &range)
  {
    with_kernel<EdgeForward>(m, w, edges, a, {range.scratch}, range, [&](auto &kernel) {
      kernel.forward(range.begin, range.end, center + offset(m, range.begin, D),
                     a.attended + offset(m, range.begin, a.d_out));
    });
  }

  static void attend_vjp(const Model &m, const Weights &w, const Edges &edges, const Arrays &a,
                         const T *center, const T *grad_attended, T *grad_center, T *grad_rows,
                         const Range &range)
  {
    with_kernel<EdgeBackward>(m, w, edges, a, {range.scratch}, range, [&](auto &kernel) {
      kernel.backward(range.begin, range.end, center + offset(m, range.begin, D),
                      grad_attended + offset(m, range.begin, a.d_out),
                      grad_center + offset(m, range.begin, D), grad_rows);
    });
  }

 private:
  template <Form FORM> static size_t edge_scratch(const Model &m)
  {
    const size_t forward = EdgeForward<T, L, FORM>::scratch_size(m),
                 backward = EdgeBackward<T, L, FORM>::scratch_size(m);
    return forward > backward ? forward : backward;
  }

  /// Whether K of l_max 1 has the pattern of products that keep parity: K_kj = 0 for different k, j
  /// > 0, and constant K_kk. Holds for exact couplings of O(3) paths.
  static bool couples_few(const Model &m)
  {
    for (int k = 0; k < D; ++k)
      for (int j = 0; j < D; ++j)
        for (int t = m.first_term[k * D + j]; t < m.first_term[k * D + j + 1]; ++t)
          if ((k > 0 && j > 0 && k != j) || (m.terms[t].j > 0 && (k == 0) == (j == 0)))
            return false;
    return true;
  }

  /// Calls work(kernel) with the forward or backward kernel for the coupling.
  template <template <typename, int, Form> class Kernel, typename Work>
  static void with_kernel(const Model &m, const Weights &w, const Edges &edges, const Arrays &a,
                          Scratch<T> scratch, const Range &range, Work work)
  {
    const auto run = [&]<Form FORM>() {
      const EdgeWork<T, L, FORM> edge_work(m, w, edges, a, scratch, range);
      Kernel<T, L, FORM> kernel(edge_work, scratch);
      work(kernel);
    };
    if constexpr (L > 0 && L <= MAX_SEPARATE)
      if (w.radial.n_weights > 1) return run.template operator()<Form::SEPARATE>();
    if constexpr (L == 1)
      if (couples_few(m)) return run.template operator()<Form::FEW>();
    run.template operator()<Form::SHARED>();
  }

  /// middle = x + W_o o + b_o, the first d_out rows of n centers
  static void add_attended(const NodeKernel<T> &node, const Model &m, const Weights &w,
                           const Arrays &a, int64_t begin, int n, T *middle)
  {
    for (int k = 0; k < n; ++k)
      copy(a.x + offset(m, begin + k, D), middle + offset(m, k, a.d_out), a.d_out * m.stride);
    node.linear(w.out, a.attended + offset(m, begin, a.d_out), middle, n * a.d_out, true);
    node.add_bias(w.out.bias, middle, n, a.d_out);
  }

  static void feed_forward_values(const NodeKernel<T> &node, const Weights &w, const T *normed,
                                  T *values, T *gates, int n, int d)
  {
    node.linear(w.feed_forward_values, normed, values, n * d);
    node.add_bias(w.feed_forward_values.bias, values, n, d);
    node.scalar_linear(w.feed_forward_gates, normed, gates, n, d);
  }

  static void feed_forward(const NodeKernel<T> &node, const Weights &w, const T *middle, T *normed,
                           T *values, T *gates, int n, int d)
  {
    node.norm(w.feed_forward_norm, middle, normed, n, d);
    feed_forward_values(node, w, normed, values, gates, n, d);
    node.gate(values, gates, n, d);
  }

  /// Pads d_out rows per center with zeros to D rows; `to` may hold the next chunk's input after
  /// it, never before.
  static void spread_rows(const Model &m, const T *from, T *to, int n, int d_out)
  {
    for (int k = 0; k < n; ++k) {
      copy(from + offset(m, k, d_out), to + offset(m, k, D), d_out * m.stride);
      clear(to + offset(m, k, D) + d_out * m.stride, (D - d_out) * m.stride);
    }
  }
};

}    // namespace tdn::TDN_ISA
