// The vector-Jacobian product of the edge work: a block is computed anew, then backward.
#pragma once

#include "edge_work.h"

namespace tdn::TDN_ISA {

/// See edge_work.h for the formulas.
template <typename T, int L, bool FEW> class EdgeBackward : public EdgeWork<T, L, FEW> {
  using Base = EdgeWork<T, L, FEW>;
  using V = Vec<T>;
  using Segment = typename Base::Segment;
  using Base::arrays;
  using Base::at;
  using Base::attention_row;
  using Base::block;
  using Base::by_attention;
  using Base::by_weights;
  using Base::D;
  using Base::edges;
  using Base::first_center;
  using Base::full_row;
  using Base::is_constant;
  using Base::is_zero;
  using Base::layer;
  using Base::messages;
  using Base::model;
  using Base::multiply;
  using Base::n_segments;
  using Base::range;
  using Base::row;
  using Base::scalars;
  using Base::segment;
  using Base::segments;
  using Base::spread;
  using Base::stride;
  using Base::sum_heads;
  using Base::sums;
  using Base::total;
  using Base::vectors;
  using Base::weights;

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
  void center_terms(const Segment &part, const T *grad_attended)
  {
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
    V by_matrix[OUT][D] = {};
    sum_heads(by_attention, [&](int v) TDN_FLATTEN {
      const V w = load(weights + e * stride + v), a = spread(attention, v), aw = a * w;
      const V value = load(t + v), gate = load(t + stride + v);
      const V s = sigmoid<T>(value), g = sigmoid<T>(gate), scaled = model.sigmoid_scale * g;
      V z[D], p[D], go[OUT];
      z[0] = model.silu_scale * value * s;
      TDN_UNROLL
      for (int k = 1; k < D; ++k) z[k] = scaled * load(at(vectors, k - 1, e) + v);
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) go[k] = load(gradient + k * stride + v);
      V along{}, by_gate{};
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        p[j] = block->matrix[j][e] * go[0];
        TDN_UNROLL
        for (int k = 1; k < OUT; ++k)
          if (!is_zero(k, j)) p[j] += block->matrix[k * D + j][e] * go[k];
        along += p[j] * z[j];
        p[j] *= aw;
        if (j > 0) by_gate += p[j] * z[j];
      }
      store(by_weights + e * stride + v, a * along);
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) {
        const V factor = aw * go[k];
        TDN_UNROLL
        for (int j = 0; j < D; ++j)
          if (!is_constant(k, j)) by_matrix[k][j] += factor * z[j];
      }
      store(t + v, p[0] * model.silu_scale * s * (T(1) + value * (T(1) - s)));
      store(t + stride + v, by_gate * (T(1) - g));
      TDN_UNROLL
      for (int k = 1; k < D; ++k) store(at(vectors, k - 1, e) + v, p[k] * scaled);
      return w * along;
    });
    TDN_UNROLL
    for (int k = 0; k < OUT; ++k) {
      TDN_UNROLL
      for (int j = 0; j < D; ++j)
        block->by_matrix[k * D + j][e] = is_constant(k, j) ? T(0) : sum_of<T>(by_matrix[k][j]);
    }
    for (int k = OUT; k < D; ++k)
      for (int j = 0; j < D; ++j) block->by_matrix[k * D + j][e] = 0;
    backward_logits(e, attention, t + 2 * stride);
  }

  /// dlogit_h = A_h (dA_h - D_h); the envelope scales A_h, so it gets d log u / dr of the same.
  TDN_INLINE void backward_logits(int e, const T *attention, T *logits)
  {
    T all_heads = 0;
    for (int h = 0; h < model.n_heads; ++h) {
      by_attention[h] = attention[h] * (by_attention[h] - total[h]);
      all_heads += by_attention[h];
    }
    block->by_length[e] = all_heads * block->log_slope[e];
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
    V by_matrix[D][D] = {}, by_length{};
    for (int v = 0; v < stride; v += LANES<T>) {
      const V w = load(weights + e * stride + v);
      V gradient[D], s[D], along = load(by_weights + e * stride + v);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) gradient[k] = load(at(messages, k, e) + v);
      TDN_UNROLL
      for (int j = 0; j < D; ++j) {
        s[j] = load(at(sums, j, e) + v);
        V q = block->matrix[j][e] * gradient[0];
        TDN_UNROLL
        for (int k = 1; k < D; ++k)
          if (!is_zero(k, j)) q += block->matrix[k * D + j][e] * gradient[k];
        along += q * s[j];
        q *= w;
        store(to_center + j * stride + v, load(to_center + j * stride + v) + q);
        store(to_row + j * stride + v, load(to_row + j * stride + v) + q);
      }
      by_length += along * block->radial(layer.radial.table, block->slope, e, v, stride);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        gradient[k] *= w;
        TDN_UNROLL
        for (int j = 0; j < D; ++j)
          if (!is_constant(k, j)) by_matrix[k][j] += gradient[k] * s[j];
      }
    }
    block->by_length[e] += sum_of<T>(by_length);
    TDN_UNROLL
    for (int k = 0; k < D; ++k) {
      TDN_UNROLL
      for (int j = 0; j < D; ++j)
        if (!is_constant(k, j)) block->by_matrix[k * D + j][e] += sum_of<T>(by_matrix[k][j]);
    }
  }
};

}    // namespace tdn::TDN_ISA
