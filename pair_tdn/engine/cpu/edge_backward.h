// The vector-Jacobian product of the edge work: a block is computed anew, then backward.
#pragma once

#include "edge_work.h"

namespace tdn::TDN_ISA {

/// See edge_work.h for the formulas.
template <typename T, int L, Form FORM> class EdgeBackward : public EdgeWork<T, L, FORM> {
  using Base = EdgeWork<T, L, FORM>;
  using Entries = typename Base::Entries;
  using V = Vec<T>;
  using Segment = typename Base::Segment;
  using Base::arrays;
  using Base::at;
  using Base::at_weight;
  using Base::attention_row;
  using Base::block;
  using Base::by_attention;
  using Base::by_weights;
  using Base::D;
  using Base::edges;
  using Base::first_center;
  using Base::full_row;
  using Base::layer;
  using Base::load_weights;
  using Base::messages;
  using Base::model;
  using Base::multiply;
  using Base::n_segments;
  using Base::range;
  using Base::row;
  using Base::scalars;
  using Base::segment;
  using Base::segments;
  using Base::SEPARATE;
  using Base::spread;
  using Base::stride;
  using Base::sum_heads;
  using Base::sums;
  using Base::total;
  using Base::vectors;
  using Base::W;

 public:
  using Base::Base;

  /// `grad_center` (added to), `center`, `grad_attended`: from the first center of the range on.
  void backward(int64_t begin, int64_t end, const T *center, const T *grad_attended, T *grad_center,
                T *grad_rows)
  {
    first_center = begin;
    range.lap(fused::NODES);
    int64_t i = begin;
    for (int64_t e = edges.first[begin]; e < edges.first[end]; e += EDGES) {
      const int64_t left = edges.first[end] - e;
      block->prepare(model, layer.radial, edges, e, static_cast<int>(left < EDGES ? left : EDGES));
      segments(i, end);
      range.lap(fused::GEOMETRY);
      this->template make_messages<true>(center);
      range.lap(fused::MESSAGES);
      multiply();
      range.lap(fused::PRODUCTS);
      for (int s = 0; s < n_segments; ++s) {
        if (arrays.d_out == 1) backward_segment<1>(segment[s], grad_attended);
        else backward_segment<D>(segment[s], grad_attended);
      }
      range.lap(fused::ATTENTION);
      multiply_adjoint();
      range.lap(fused::PRODUCTS);
      for (int s = 0; s < n_segments; ++s) backward_messages(segment[s], grad_center, grad_rows);
      range.lap(fused::MESSAGES);
      block->add_gradients(model, edges);
      range.lap(fused::GEOMETRY);
    }
  }

 private:
  /// Gradients of scalars and vectors -> gradients of the messages.
  void multiply_adjoint()
  {
    const fused::Linear<T> *parts[3] = {&layer.values, &layer.gates, &layer.logits};
    for (int k = 0; k < 3; ++k)
      gemm(scalars + k * stride, 3 * stride, parts[k]->adjoint, stride, stride, messages, stride,
           block->n, static_cast<const T *>(nullptr), k > 0);
    if (block->n == EDGES)
      gemm(vectors, stride, layer.values.adjoint, stride, stride, at(messages, 1, 0), stride,
           (D - 1) * EDGES);
    else
      for (int k = 1; k < D; ++k)
        gemm(at(vectors, k - 1, 0), stride, layer.values.adjoint, stride, stride,
             at(messages, k, 0), stride, block->n);
  }

  /// D_h = sum over the channels of a head of dO * O, the same for all edges of a center: what the
  /// softmax takes off the gradient of each weight.
  /// Sigmoids lose nothing.
  void center_terms(const Segment &part, const T *grad_attended)
  {
    if (model.sigmoid_attention > T(0)) {
      for (int h = 0; h < model.n_heads; ++h) total[h] = 0;
      return;
    }
    const T *gradient = grad_attended + row(part.center);
    const T *out = arrays.attended + part.center * static_cast<ptrdiff_t>(arrays.d_out) * stride;
    sum_heads(total, [&](int v) TDN_FLATTEN {
      V sum{};
      for (int k = 0; k < arrays.d_out; ++k)
        sum += load(gradient + k * stride + v) * load(out + k * stride + v);
      return sum;
    });
  }

  template <int OUT> void backward_segment(const Segment &part, const T *grad_attended)
  {
    center_terms(part, grad_attended);
    for (int e = part.begin; e < part.end; ++e)
      backward_edge<OUT>(e, grad_attended + row(part.center));
  }

  /// From dO to the gradients of values, gates, logits, radial weights and K of the second product.
  /// With P = K^T dO, sum_k dO_k (K z)_k = sum_j P_j z_j saves the product itself.
  template <int OUT> TDN_INLINE void backward_edge(int e, const T *gradient)
  {
    T *const attention = attention_row;    // can be read to a whole vector
    for (int h = 0; h < model.n_heads; ++h)
      attention[h] = arrays.attention[(block->begin + e) * model.n_heads + h];
    T *t = scalars + e * 3 * stride;
    V by_matrix[Entries::N_ENTRIES] = {};
    sum_heads(by_attention, [&](int v) TDN_FLATTEN {
      const V a = spread(attention, v), value = load(t + v), gate = load(t + stride + v);
      const V s = sigmoid<T>(value), g = sigmoid<T>(gate), scaled = model.sigmoid_scale * g;
      V z[D], p[D], go[OUT], w[W], by_w[W] = {};
      load_weights(e, v, w);
      z[0] = model.silu_scale * value * s;
      TDN_UNROLL
      for (int k = 1; k < D; ++k) z[k] = scaled * load(at(vectors, k - 1, e) + v);
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) go[k] = load(gradient + k * stride + v);
      this->template product_vjp<OUT>(e, w, z, go, p, by_w);
      V along{}, by_gate{};
      TDN_UNROLL
      for (int q = 0; q < W; ++q) {
        along += w[q] * by_w[q];
        store(at_weight(by_weights, q, e) + v, a * by_w[q]);
      }
      const V factor = SEPARATE ? a : a * w[0];
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        p[j] *= factor;
        if (j > 0) by_gate += p[j] * z[j];
      }
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) go[k] *= a;
      this->template add_by_matrix<OUT>(w, z, go, by_matrix);
      store(t + v, p[0] * model.silu_scale * s * (T(1) + value * (T(1) - s)));
      store(t + stride + v, by_gate * (T(1) - g));
      TDN_UNROLL
      for (int k = 1; k < D; ++k) store(at(vectors, k - 1, e) + v, p[k] * scaled);
      return along;
    });
    unrolled<0, Entries::N_ENTRIES>([&](auto n) TDN_FLATTEN {
      constexpr bool used = OUT == D || Entries::is_in_scalar_row(n);
      this->block->by_matrix[n][e] =
          used && !Entries::is_constant_entry(n) ? sum_of<T>(by_matrix[n]) : 0;
    });
    backward_logits(e, attention, t + 2 * stride);
  }

  /// dlogit_h = A_h (dA_h - D_h); the envelope scales A_h, so it gets d log u / dr of the same.
  /// With sigmoids s_h = A_h / (scale u), D_h = 0 and the logit gets 1 - s_h of it.
  TDN_INLINE void backward_logits(int e, const T *attention, T *logits)
  {
    T all_heads = 0;
    for (int h = 0; h < model.n_heads; ++h) {
      by_attention[h] = attention[h] * (by_attention[h] - total[h]);
      all_heads += by_attention[h];
    }
    block->by_length[e] = all_heads * block->log_slope[e];
    if (model.sigmoid_attention > T(0)) {
      const T most = model.sigmoid_attention * block->envelope[e];
      for (int h = 0; h < model.n_heads && most > T(0); ++h)
        by_attention[h] *= T(1) - attention[h] / most;
    }
    for (int v = 0; v < stride; v += LANES<T>) {
      const V x = load(logits + v), s = sigmoid<T>(x);
      const V slope = T(0.2) + T(0.8) * s * (T(1) + x * (T(1) - s));
      store(logits + v, spread(by_attention, v) * load(layer.query + v) * slope);
    }
  }

  /// Through m = w K s: to the rows of center and neighbor, radial weights and K.
  void backward_messages(const Segment &part, T *grad_center, T *grad_rows)
  {
    T *to_center = grad_center + full_row(part.center);
    for (int e = part.begin; e < part.end; ++e)
      backward_message(e, to_center,
                       grad_rows + static_cast<ptrdiff_t>(block->target[e]) * D * stride);
  }

  TDN_INLINE void backward_message(int e, T *to_center, T *to_row)
  {
    V by_matrix[Entries::N_ENTRIES] = {}, by_length{};
    for (int v = 0; v < stride; v += LANES<T>) {
      V gradient[D], s[D], by_s[D], w[W], by_w[W];
      load_weights(e, v, w);
      TDN_UNROLL
      for (int p = 0; p < W; ++p) by_w[p] = load(at_weight(by_weights, p, e) + v);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        gradient[k] = load(at(messages, k, e) + v);
        s[k] = load(at(sums, k, e) + v);
      }
      this->template product_vjp<D>(e, w, s, gradient, by_s, by_w);
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        if constexpr (!SEPARATE) by_s[j] *= w[0];
        store(to_center + j * stride + v, load(to_center + j * stride + v) + by_s[j]);
        store(to_row + j * stride + v, load(to_row + j * stride + v) + by_s[j]);
      }
      TDN_UNROLL
      for (int p = 0; p < W; ++p)
        by_length += by_w[p] *
                     block->radial(layer.radial.table, block->slope, e, p * stride + v, W * stride);
      this->template add_by_matrix<D>(w, s, gradient, by_matrix);
    }
    block->by_length[e] += sum_of<T>(by_length);
    unrolled<0, Entries::N_ENTRIES>([&](auto n) TDN_FLATTEN {
      if constexpr (!Entries::is_constant_entry(n))
        this->block->by_matrix[n][e] += sum_of<T>(by_matrix[n]);
    });
  }
};

}    // namespace tdn::TDN_ISA
