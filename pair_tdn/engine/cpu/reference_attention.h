// The edge work of a layer in the reference kernels, center by center and edge by edge. Of an edge
// from center i to neighbor j (python/tdn/model/attention.py, python/tdn/deployment/fused.py):
//   s = a_j + c_i,  m = w K s
//   values = W_v m (b_v on the scalar row),  gates = W_g m_0 + b_g,  logits = W_l m_0 + b_l
//   z = gate(values, gates),  logit_h = sum over the channels of head h of q lrelu(logits)
//   A_h = u exp(logit_h) / (exp(constant_h) + sum over the center's edges of u exp(logit_h))
//   o_i = sum over the center's edges of A w K z
#pragma once

#include "reference_edge.h"

#include <limits>

namespace tdn::fused::reference {

template <typename T> class Attention {
 public:
  static size_t scratch_size(const Model<T> &m)
  {
    return Edge<T>::scratch_size(m) + row_size(m) * (9 * m.d + 4) +
           2 * static_cast<size_t>(m.n_heads);
  }

  Attention(const Model<T> &model, const Layer<T> &weights, const Edges<T> &list,
            const LayerArrays<T> &all, Scratch<T> &scratch)
      : m(model), layer(weights), edges(list), arrays(all), edge(model, scratch),
        width(static_cast<int>(row_size(model)) * model.d)
  {
    for (T **of_rows :
         {&sum, &message, &values, &z, &out, &grad_sum, &grad_message, &grad_values, &grad_z})
      *of_rows = scratch.take(width);
    for (T **of_scalar_row : {&gates, &logits, &grad_gates, &grad_logits})
      *of_scalar_row = scratch.take(row_size(model));
    for (T **of_heads : {&grad_attention, &mean_gradient}) *of_heads = scratch.take(model.n_heads);
  }

  /// c_i -> attention weights of the center's edges, and o_i (d_out rows).
  void forward(int64_t i, const T *center, T *attended)
  {
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
      make_message(e, center);
      make_logits();
      sum_logits(attention_of(e));
    }
    if (m.sigmoid_attention > T(0)) sigmoids(i);
    else softmax(i);
    clear(attended, row_size(m) * arrays.d_out);
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
      make_message(e, center);
      make_values();
      edge.product(z, out, arrays.d_out);
      scale_heads(attention_of(e), out);
      add(out, attended, row_size(m) * arrays.d_out);
    }
  }

  /// grad_o of the center -> added to grad_c, to the rows of neighbors and to the edges' gradients.
  /// The softmax needs the mean of the gradients with respect to its weights (sigmoids do not),
  ///   sum_e A_h dA_h = <grad_o, o> over the channels of head h, because dA_h = <grad_o, w K z>.
  void backward(int64_t i, const T *center, const T *attended, const T *grad_attended,
                T *grad_center, T *grad_rows)
  {
    sum_heads(attended, grad_attended, mean_gradient);
    const int32_t *target = edges.target ? edges.target : edges.neighbor;
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
      make_message(e, center);
      make_logits();
      make_values();
      clear_gradients();
      out_vjp(attention_of(e), grad_attended);
      weights_vjp(attention_of(e));
      message_vjp();
      add(grad_sum, grad_center, width);    // s = a_j + c_i
      add(grad_sum, grad_rows + static_cast<ptrdiff_t>(target[e]) * width, width);
      edge.add_gradient(edges, e);
    }
  }

 private:
  const Model<T> &m;
  const Layer<T> &layer;
  const Edges<T> &edges;
  const LayerArrays<T> &arrays;
  Edge<T> edge;
  const int width;    // numbers in d rows

  T *sum, *message, *values, *z, *out;                  // (d, C) s, m, values, z, A w K z
  T *gates, *logits;                                    // (C)
  T *grad_sum, *grad_message, *grad_values, *grad_z;    // (d, C)
  T *grad_gates, *grad_logits;                          // (C)
  T *grad_attention, *mean_gradient;                    // (H)

  static size_t row_size(const Model<T> &m) { return static_cast<size_t>(m.n_channels); }
  T *attention_of(int64_t e) const { return arrays.attention + e * m.n_heads; }
  int head_of(int channel) const { return channel / (m.n_channels / m.n_heads); }

  void make_message(int64_t e, const T *center)
  {
    edge.set(edges, layer.radial, e);
    std::copy_n(arrays.rows + static_cast<ptrdiff_t>(edges.neighbor[e]) * width, width, sum);
    add(center, sum, width);
    edge.product(sum, message, m.d);
  }

  void make_values()
  {
    linear(m, layer.values, message, values, m.d);
    linear(m, layer.gates, message, gates, 1);
    gate(m, values, gates, z, m.d);
  }

  void make_logits() { linear(m, layer.logits, message, logits, 1); }

  /// logit_h
  void sum_logits(T *of_heads) const
  {
    clear(of_heads, m.n_heads);
    for (int c = 0; c < m.n_channels; ++c)
      of_heads[head_of(c)] += layer.query[c] * smooth_leaky_relu(logits[c]);
  }

  /// Logits of the center's edges -> attention weights. The largest exponent is taken off all of
  /// them, which changes nothing. The published denominator, without a constant, has 1e-16 instead.
  void softmax(int64_t i)
  {
    const int64_t begin = edges.first[i], end = edges.first[i + 1];
    for (int h = 0; h < m.n_heads; ++h) {
      T largest = layer.constant ? layer.constant[h] : -std::numeric_limits<T>::infinity();
      for (int64_t e = begin; e < end; ++e) largest = std::max(largest, attention_of(e)[h]);
      T total = layer.constant ? std::exp(layer.constant[h] - largest) : T(1e-16);
      for (int64_t e = begin; e < end; ++e) {
        T &a = attention_of(e)[h];
        a = Envelope<T>(m, length_of(edges, e)).value * std::exp(a - largest);
        total += a;
      }
      for (int64_t e = begin; e < end; ++e) attention_of(e)[h] /= total;
    }
  }

  /// A_h = scale u sigmoid(logit_h + constant_h), without a sum over edges.
  void sigmoids(int64_t i)
  {
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e)
      for (int h = 0; h < m.n_heads; ++h) {
        T &a = attention_of(e)[h];
        a = m.sigmoid_attention * Envelope<T>(m, length_of(edges, e)).value *
            sigmoid(a + layer.constant[h]);
      }
  }

  /// Softmax: dlogit_h = A_h (dA_h - mean), and because u scales exp(logit), d log u = sum_h
  /// dlogit_h. Sigmoids s_h: d log u = sum_h A_h dA_h, dlogit_h = A_h dA_h (1 - s_h). Then
  /// dlogits_c = dlogit_h q_c lrelu'(logits_c).
  void weights_vjp(const T *attention)
  {
    const bool sigmoids = m.sigmoid_attention > T(0);
    for (int h = 0; h < m.n_heads; ++h) {
      T &grad = grad_attention[h];
      grad = attention[h] * (sigmoids ? grad : grad - mean_gradient[h]);
      if (!(edge.envelope > T(0))) continue;    // A_h = 0
      edge.by_length += grad * edge.envelope_slope / edge.envelope;
      if (sigmoids) grad *= T(1) - attention[h] / (m.sigmoid_attention * edge.envelope);
    }
    for (int c = 0; c < m.n_channels; ++c)
      grad_logits[c] +=
          grad_attention[head_of(c)] * layer.query[c] * smooth_leaky_relu_slope(logits[c]);
  }

  void clear_gradients()
  {
    for (T *of_rows : {grad_sum, grad_message, grad_values, grad_z}) clear(of_rows, width);
    for (T *of_scalar_row : {grad_gates, grad_logits}) clear(of_scalar_row, m.n_channels);
  }

  /// o = A w K z: dA_h = <grad_o, w K z> over the channels of head h; the product's gradient is
  /// A grad_o.
  void out_vjp(const T *attention, const T *grad_attended)
  {
    edge.product(z, out, arrays.d_out);
    sum_heads(out, grad_attended, grad_attention);
    std::copy_n(grad_attended, row_size(m) * arrays.d_out, out);
    scale_heads(attention, out);
    edge.product_vjp(z, out, grad_z, arrays.d_out);
  }

  /// From z and logits through m = w K s to s.
  void message_vjp()
  {
    gate_vjp(m, values, gates, grad_z, grad_values, grad_gates, m.d);
    linear_vjp(m, layer.values, grad_values, grad_message, m.d);
    linear_vjp(m, layer.gates, grad_gates, grad_message, 1);
    linear_vjp(m, layer.logits, grad_logits, grad_message, 1);
    edge.product_vjp(sum, grad_message, grad_sum, m.d);
  }

  /// d_out rows times a number per head
  void scale_heads(const T *of_heads, T *x) const
  {
    for (int k = 0; k < arrays.d_out; ++k)
      for (int c = 0; c < m.n_channels; ++c) x[k * m.n_channels + c] *= of_heads[head_of(c)];
  }

  /// of_heads_h = sum of x y over d_out rows and the channels of head h
  void sum_heads(const T *x, const T *y, T *of_heads) const
  {
    clear(of_heads, m.n_heads);
    for (int k = 0; k < arrays.d_out; ++k)
      for (int c = 0; c < m.n_channels; ++c)
        of_heads[head_of(c)] += x[k * m.n_channels + c] * y[k * m.n_channels + c];
  }
};

}    // namespace tdn::fused::reference
