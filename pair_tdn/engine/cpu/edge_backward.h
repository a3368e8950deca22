// The vector-Jacobian product of the edge work: each block is recomputed, then differentiated.
#pragma once

#include "attention_weights.h"

namespace tdn::TDN_ISA {

/// See edge_work.h for the formulas.
template <typename T, int L, Form FORM> class EdgeBackward {
  using V = Vec<T>;
  using Work = EdgeWork<T, L, FORM>;
  using Product = typename Work::Product;
  using Entries = typename Product::Entries;
  using Kinds = AttentionKinds<T, L, FORM>;
  static constexpr int D = Work::D, W = Work::W;

 public:
  static size_t scratch_size(const fused::Model<T> &m)
  {
    return Work::scratch_size(m) + Kinds::scratch_size(m) + 2 * Heads<T>::scratch_size(m, 1) +
           EDGES * static_cast<size_t>(m.stride) * (D + W) + 16 * 2;
  }

  EdgeBackward(const Work &of, Scratch<T> scratch)
      : work(of), model(of.model), layer(of.layer), arrays(of.arrays), stride(of.stride),
        kinds(work, scratch), sums(scratch.take(EDGES * stride * D)),
        by_weights(scratch.take(EDGES * stride * W)), attention(work.heads.take(scratch, 1)),
        by_attention(work.heads.take(scratch, 1))
  {
  }

  /// `grad_center` (added to), `center` and `grad_attended` begin with the first center.
  void backward(int64_t begin, int64_t end, const T *center, const T *grad_attended, T *grad_center,
                T *grad_rows)
  {
    const auto keep = [&](int k, int e, int v, V s)
                          TDN_FLATTEN { store(work.at(sums, k, e) + v, s); };
    work.for_blocks(begin, end, center, keep, [&](const Segments &segments) {
      for (const Segment &part : segments) {
        const T *gradient = grad_attended + work.row(part.center);
        if (arrays.d_out == 1) backward_segment<1>(part, gradient);
        else backward_segment<D>(part, gradient);
      }
      work.range.lap(fused::ATTENTION);
      multiply_adjoint();
      work.range.lap(fused::PRODUCTS);
      for (const Segment &part : segments)
        backward_messages(part, grad_center + work.full_row(part.center), grad_rows);
      work.range.lap(fused::MESSAGES);
      work.block->add_gradients(model, work.edges);
      work.range.lap(fused::GEOMETRY);
    });
  }

 private:
  Work work;
  const fused::Model<T> &model;
  const fused::Layer<T> &layer;
  const fused::LayerArrays<T> &arrays;
  const int stride;

  Kinds kinds;
  T *const sums;            // [D][EDGES][stride] s
  T *const by_weights;      // [EDGES][W][stride] gradient with respect to w of the second product
  T *const attention;       // [n_heads] of an edge
  T *const by_attention;    // [n_heads] its gradient

  /// Gradients of scalars and vectors -> gradients of the messages.
  void multiply_adjoint()
  {
    const fused::Linear<T> *parts[3] = {&layer.values, &layer.gates, &layer.logits};
    for (int k = 0; k < 3; ++k)
      gemm(work.scalars + k * stride, 3 * stride, parts[k]->adjoint, stride, stride, work.messages,
           stride, work.block->n, static_cast<const T *>(nullptr), k > 0);
    if (work.block->n == EDGES)
      gemm(work.vectors, stride, layer.values.adjoint, stride, stride, work.at(work.messages, 1, 0),
           stride, (D - 1) * EDGES);
    else
      for (int k = 1; k < D; ++k)
        gemm(work.at(work.vectors, k - 1, 0), stride, layer.values.adjoint, stride, stride,
             work.at(work.messages, k, 0), stride, work.block->n);
  }

  template <int OUT> void backward_segment(const Segment &part, const T *gradient)
  {
    kinds.visit([&](auto &kind) TDN_FLATTEN { kind.begin_vjp(part, gradient); });
    for (int e = part.begin; e < part.end; ++e) backward_edge<OUT>(e, gradient);
  }

  /// From dO to the gradients of values, gates, logits, radial weights and K of the second product.
  /// With P = K^T dO, sum_k dO_k (K z)_k = sum_j P_j z_j saves the product itself.
  template <int OUT> TDN_INLINE void backward_edge(int e, const T *gradient)
  {
    for (int h = 0; h < model.n_heads; ++h)
      attention[h] = arrays.attention[(work.block->begin + e) * model.n_heads + h];
    T *t = work.scalars + e * 3 * stride;
    V by_matrix[Entries::N_ENTRIES] = {};
    work.heads.sum(by_attention, [&](int v) TDN_FLATTEN {
      const V a = work.heads.spread(attention, v), value = load(t + v), gate = load(t + stride + v);
      const V s = sigmoid<T>(value), g = sigmoid<T>(gate), scaled = model.sigmoid_scale * g;
      V z[D], p[D], go[OUT], w[W], by_w[W] = {};
      work.load_weights(e, v, w);
      z[0] = model.silu_scale * value * s;
      TDN_UNROLL
      for (int k = 1; k < D; ++k) z[k] = scaled * load(work.at(work.vectors, k - 1, e) + v);
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) go[k] = load(gradient + k * stride + v);
      Product::template vjp<OUT>(*work.block, e, w, z, go, p, by_w);
      V along{}, by_gate{};
      TDN_UNROLL
      for (int q = 0; q < W; ++q) {
        along += w[q] * by_w[q];
        store(work.at_weight(by_weights, q, e) + v, a * by_w[q]);
      }
      const V factor = Product::SEPARATE ? a : a * w[0];
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        p[j] *= factor;
        if (j > 0) by_gate += p[j] * z[j];
      }
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) go[k] *= a;
      Product::template add_by_matrix<OUT>(w, z, go, by_matrix);
      store(t + v, p[0] * model.silu_scale * s * (T(1) + value * (T(1) - s)));
      store(t + stride + v, by_gate * (T(1) - g));
      TDN_UNROLL
      for (int k = 1; k < D; ++k) store(work.at(work.vectors, k - 1, e) + v, p[k] * scaled);
      return along;
    });
    unrolled<0, Entries::N_ENTRIES>([&](auto n) TDN_FLATTEN {
      constexpr bool used = OUT == D || Entries::is_in_scalar_row(n);
      work.block->by_matrix[n][e] =
          used && !Entries::is_constant_entry(n) ? sum_of<T>(by_matrix[n]) : 0;
    });
    backward_logits(e, t + 2 * stride);
  }

  /// From the gradients of the attention weights to those of the logits; u has its own slope.
  TDN_INLINE void backward_logits(int e, T *logits)
  {
    kinds.visit([&](auto &kind) TDN_FLATTEN {
      work.block->by_length[e] = kind.vjp(e, attention, by_attention) * work.block->log_slope[e];
    });
    for (int v = 0; v < stride; v += LANES<T>) {
      const V x = load(logits + v), s = sigmoid<T>(x);
      const V slope = T(0.2) + T(0.8) * s * (T(1) + x * (T(1) - s));
      store(logits + v, work.heads.spread(by_attention, v) * load(layer.query + v) * slope);
    }
  }

  /// Through m = w K s to the rows of center and neighbor, the radial weights and K.
  void backward_messages(const Segment &part, T *to_center, T *grad_rows)
  {
    for (int e = part.begin; e < part.end; ++e)
      backward_message(e, to_center,
                       grad_rows + static_cast<ptrdiff_t>(work.block->target[e]) * D * stride);
  }

  TDN_INLINE void backward_message(int e, T *to_center, T *to_row)
  {
    V by_matrix[Entries::N_ENTRIES] = {}, by_length{};
    for (int v = 0; v < stride; v += LANES<T>) {
      V gradient[D], s[D], by_s[D], w[W], by_w[W];
      work.load_weights(e, v, w);
      TDN_UNROLL
      for (int p = 0; p < W; ++p) by_w[p] = load(work.at_weight(by_weights, p, e) + v);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        gradient[k] = load(work.at(work.messages, k, e) + v);
        s[k] = load(work.at(sums, k, e) + v);
      }
      Product::template vjp<D>(*work.block, e, w, s, gradient, by_s, by_w);
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        if constexpr (!Product::SEPARATE) by_s[j] *= w[0];
        store(to_center + j * stride + v, load(to_center + j * stride + v) + by_s[j]);
        store(to_row + j * stride + v, load(to_row + j * stride + v) + by_s[j]);
      }
      TDN_UNROLL
      for (int p = 0; p < W; ++p)
        by_length += by_w[p] * work.block->radial(layer.radial.table, work.block->slope, e,
                                                  p * stride + v, W * stride);
      Product::template add_by_matrix<D>(w, s, gradient, by_matrix);
    }
    work.block->by_length[e] += sum_of<T>(by_length);
    unrolled<0, Entries::N_ENTRIES>([&](auto n) TDN_FLATTEN {
      if constexpr (!Entries::is_constant_entry(n))
        work.block->by_matrix[n][e] += sum_of<T>(by_matrix[n]);
    });
  }
};

}    // namespace tdn::TDN_ISA
