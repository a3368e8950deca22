// Node-wise formulas of the reference kernels, one atom at a time: d rows of C numbers, C the
// channels. Each is followed by its vector-Jacobian product, which takes grad_y, the gradient with
// respect to the result, and adds what follows from it to the gradient of what the formula read.
#pragma once

#include "kernels.h"

#include <algorithm>
#include <cmath>

namespace tdn::fused::reference {

/// Numbers in the d rows of an atom.
template <typename T> size_t width(const Model<T> &m)
{
  return static_cast<size_t>(m.d) * m.n_channels;
}

/// Hands out parts of a thread's memory.
template <typename T> struct Scratch {
  T *next;
  T *take(size_t n)
  {
    T *const begin = next;
    next += n;
    return begin;
  }
  T *zeros(size_t n)
  {
    T *const begin = take(n);
    std::fill_n(begin, n, T(0));
    return begin;
  }
};

template <typename T> void clear(T *x, size_t n)
{
  std::fill_n(x, n, T(0));
}

template <typename T> void add(const T *x, T *y, size_t n)
{
  for (size_t k = 0; k < n; ++k) y[k] += x[k];
}

template <typename T> T sigmoid(T x)
{
  return T(1) / (T(1) + std::exp(-x));
}
/// s' = s (1 - s)
template <typename T> T sigmoid_slope(T x)
{
  const T s = sigmoid(x);
  return s * (T(1) - s);
}

template <typename T> T silu(T x)
{
  return x * sigmoid(x);
}
/// (x s)' = s + x s'
template <typename T> T silu_slope(T x)
{
  return sigmoid(x) + x * sigmoid_slope(x);
}

/// SmoothLeakyReLU: (1 + a) / 2 x + (1 - a) / 2 x (2 s - 1) = x (a + (1 - a) s) with a = 0.2
template <typename T> T smooth_leaky_relu(T x)
{
  return T(0.2) * x + T(0.8) * silu(x);
}
template <typename T> T smooth_leaky_relu_slope(T x)
{
  return T(0.2) + T(0.8) * silu_slope(x);
}

/// y += W x on d rows of n numbers; `weight` as stored by `pack`: row p holds what x_p adds to y.
template <typename T> void add_product(const T *weight, const T *x, T *y, int d, int n)
{
  for (int k = 0; k < d; ++k, x += n, y += n)
    for (int p = 0; p < n; ++p)
      for (int q = 0; q < n; ++q) y[q] += weight[p * n + q] * x[p];
}

/// y = W x on every row, and b, if there is one, on the scalar row
template <typename T> void linear(const Model<T> &m, const Linear<T> &w, const T *x, T *y, int d)
{
  clear(y, static_cast<size_t>(d) * m.n_channels);
  if (w.bias) add(w.bias, y, m.n_channels);
  add_product(w.weight, x, y, d, m.n_channels);
}

/// grad_x += W^T grad_y
template <typename T>
void linear_vjp(const Model<T> &m, const Linear<T> &w, const T *grad_y, T *grad_x, int d)
{
  add_product(w.adjoint, grad_y, grad_x, d, m.n_channels);
}

/// Mean of n numbers, and sigma = sqrt(mean square deviation + 1e-5).
template <typename T> struct Moments {
  T mean = 0, sigma = 0;
  Moments(const T *x, int n)
  {
    for (int c = 0; c < n; ++c) mean += x[c] / T(n);
    T square = 0;
    for (int c = 0; c < n; ++c) square += (x[c] - mean) * (x[c] - mean) / T(n);
    sigma = std::sqrt(square + T(1e-5));
  }
};

/// sqrt(mean square + eps) of `count` numbers
template <typename T> T size_of(const Model<T> &m, const T *x, int count)
{
  T square = 0;
  for (int c = 0; c < count; ++c) square += x[c] * x[c] / T(count);
  return std::sqrt(square + m.norm_eps);
}

/// Norms that divide by nothing: y = x w_l, and b on the scalar row.
template <typename T> void weigh_rows(const Model<T> &m, const Norm<T> &w, const T *x, T *y, int d)
{
  const int n = m.n_channels;
  for (int l = 0; l * l < d; ++l)
    for (int c = l * l * n; c < (l + 1) * (l + 1) * n; ++c) y[c] = x[c] * w.weight[l * n + c % n];
  for (int c = 0; c < n; ++c) y[c] += w.bias[c];
}

template <typename T>
void weigh_rows_vjp(const Model<T> &m, const Norm<T> &w, const T *grad_y, T *grad_x, int d)
{
  const int n = m.n_channels;
  for (int l = 0; l * l < d; ++l)
    for (int c = l * l * n; c < (l + 1) * (l + 1) * n; ++c)
      grad_x[c] += grad_y[c] * w.weight[l * n + c % n];
}

/// Scalar row: y = (x - mean) / sigma w_0 + b. Rows of degree l >= 1: y = x / size w_l, where
/// `size` is that of all 2 l + 1 rows.
template <typename T> void norm(const Model<T> &m, const Norm<T> &w, const T *x, T *y, int d)
{
  const int n = m.n_channels;
  if (!m.norm_divides) return weigh_rows(m, w, x, y, d);
  const Moments<T> moments(x, n);
  for (int c = 0; c < n; ++c)
    y[c] = (x[c] - moments.mean) / moments.sigma * w.weight[c] + w.bias[c];
  for (int l = 1; l * l < d; ++l) {
    const int begin = l * l * n, count = (2 * l + 1) * n;
    const T size = size_of(m, x + begin, count);
    for (int c = begin; c < begin + count; ++c) y[c] = x[c] / size * w.weight[l * n + c % n];
  }
}

/// With g = w grad_y and z = (x - mean) / sigma or x / size:
///   scalar row   grad_x += (g - mean(g) - z mean(g z)) / sigma
///   others       grad_x += (g - z mean(g z)) / size
template <typename T>
void norm_vjp(const Model<T> &m, const Norm<T> &w, const T *x, const T *grad_y, T *grad_x, int d)
{
  const int n = m.n_channels;
  if (!m.norm_divides) return weigh_rows_vjp(m, w, grad_y, grad_x, d);
  const Moments<T> moments(x, n);
  const auto z_of = [&](int c) { return (x[c] - moments.mean) / moments.sigma; };
  T mean_g = 0, mean_gz = 0;
  for (int c = 0; c < n; ++c) {
    mean_g += w.weight[c] * grad_y[c] / T(n);
    mean_gz += w.weight[c] * grad_y[c] * z_of(c) / T(n);
  }
  for (int c = 0; c < n; ++c)
    grad_x[c] += (w.weight[c] * grad_y[c] - mean_g - z_of(c) * mean_gz) / moments.sigma;
  for (int l = 1; l * l < d; ++l) {
    const int begin = l * l * n, count = (2 * l + 1) * n;
    const T size = size_of(m, x + begin, count);
    const auto g_of = [&](int c) { return w.weight[l * n + c % n] * grad_y[c]; };
    mean_gz = 0;
    for (int c = begin; c < begin + count; ++c) mean_gz += g_of(c) * x[c] / size / T(count);
    for (int c = begin; c < begin + count; ++c)
      grad_x[c] += (g_of(c) - x[c] / size * mean_gz) / size;
  }
}

/// z_0 = silu(values_0), z_k = sigmoid(gates) values_k, both times their scales
template <typename T> void gate(const Model<T> &m, const T *values, const T *gates, T *z, int d)
{
  const int n = m.n_channels;
  for (int c = 0; c < n; ++c) z[c] = m.silu_scale * silu(values[c]);
  for (int k = 1; k < d; ++k)
    for (int c = 0; c < n; ++c)
      z[k * n + c] = m.sigmoid_scale * sigmoid(gates[c]) * values[k * n + c];
}

template <typename T>
void gate_vjp(const Model<T> &m, const T *values, const T *gates, const T *grad_z, T *grad_values,
              T *grad_gates, int d)
{
  const int n = m.n_channels;
  for (int c = 0; c < n; ++c) grad_values[c] += grad_z[c] * m.silu_scale * silu_slope(values[c]);
  for (int k = 1; k < d; ++k)
    for (int c = 0; c < n; ++c) {
      const T grad = grad_z[k * n + c] * m.sigmoid_scale;
      grad_values[k * n + c] += grad * sigmoid(gates[c]);
      grad_gates[c] += grad * sigmoid_slope(gates[c]) * values[k * n + c];
    }
}

/// What both directions of `update` compute of one atom; y is what attention leaves of it, x' the
/// result:
///   c = W_d norm(x),  y = x + W_o o + b_o,  x' = y + W_out gate(values, gates) + b_out
/// with values = W_v norm(y) (b_v on the scalar row) and gates = W_g norm(y)_0 + b_g.
template <typename T> class Node {
 public:
  T *center, *y;

  Node(const Model<T> &model, const Layer<T> &layer, int rows, Scratch<T> &scratch)
      : center(scratch.take(width(model))), y(scratch.take(width(model))), m(model), w(layer),
        d_out(rows), normed(scratch.take(width(model))), values(scratch.take(width(model))),
        gates(scratch.take(width(model))), z(scratch.take(width(model)))
  {
  }

  void make_center(const T *x)
  {
    norm(m, w.norm, x, normed, m.d);
    linear(m, w.center, normed, center, m.d);
  }

  void feed_forward(const T *x, const T *attended)
  {
    linear(m, w.out, attended, y, d_out);
    add(x, y, size());
    norm(m, w.feed_forward_norm, y, normed, d_out);
    linear(m, w.feed_forward_values, normed, values, d_out);
    linear(m, w.feed_forward_gates, normed, gates, 1);
    gate(m, values, gates, z, d_out);
  }

  void finish(T *x_next) const
  {
    linear(m, w.feed_forward_out, z, x_next, d_out);
    add(y, x_next, size());
  }

  /// grad_y += dx' + gradient through x' - y, after `feed_forward`.
  void finish_vjp(const T *grad_next, T *grad_y, Scratch<T> scratch) const
  {
    T *grad_z = scratch.zeros(size()), *grad_values = scratch.zeros(size()),
      *grad_normed = scratch.zeros(size()), *grad_gates = scratch.zeros(m.n_channels);
    linear_vjp(m, w.feed_forward_out, grad_next, grad_z, d_out);
    gate_vjp(m, values, gates, grad_z, grad_values, grad_gates, d_out);
    linear_vjp(m, w.feed_forward_values, grad_values, grad_normed, d_out);
    linear_vjp(m, w.feed_forward_gates, grad_gates, grad_normed, 1);
    norm_vjp(m, w.feed_forward_norm, y, grad_normed, grad_y, d_out);
    add(grad_next, grad_y, size());
  }

  /// grad_x += gradient through c
  void center_vjp(const T *x, const T *grad_center, T *grad_x, Scratch<T> scratch) const
  {
    T *grad_normed = scratch.zeros(width(m));
    linear_vjp(m, w.center, grad_center, grad_normed, m.d);
    norm_vjp(m, w.norm, x, grad_normed, grad_x, m.d);
  }

 private:
  const Model<T> &m;
  const Layer<T> &w;
  const int d_out;
  T *normed, *values, *gates, *z;

  size_t size() const { return static_cast<size_t>(d_out) * m.n_channels; }
};

}    // namespace tdn::fused::reference
