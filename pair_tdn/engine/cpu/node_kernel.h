// Node-wise parts of a layer on a chunk of centers: norms, linear maps, feed-forward, and their
// adjoints.
#pragma once

#include "coupling.h"
#include "gemm.h"
#include "kernels.h"

namespace tdn::TDN_ISA {

template <typename T> class NodeKernel {
 public:
  using V = Vec<T>;
  explicit NodeKernel(const fused::Model<T> &m) : model(m), stride(m.stride) {}

  /// y = norm(x) for n atoms of d rows
  void norm(const fused::Norm<T> &w, const T *x, T *y, int n, int d) const
  {
    for (int i = 0; i < n; ++i, x += d * stride, y += d * stride) {
      if (!model.norm_divides) {
        weigh_rows(w, x, y, d);
        continue;
      }
      norm_scalar(w, x, y);
      for (int l = 1; l * l < d; ++l)
        norm_degree(w.weight + l * stride, l, x + l * l * stride, y + l * l * stride);
    }
  }

  /// grad_x += gradient through norm at x
  void norm_vjp(const fused::Norm<T> &w, const T *x, const T *grad_y, T *grad_x, int n, int d) const
  {
    for (int i = 0; i < n; ++i, x += d * stride, grad_y += d * stride, grad_x += d * stride) {
      if (!model.norm_divides) {
        weigh_rows_vjp(w, grad_y, grad_x, d);
        continue;
      }
      norm_scalar_vjp(w, x, grad_y, grad_x);
      for (int l = 1; l * l < d; ++l)
        norm_degree_vjp(w.weight + l * stride, l, x + l * l * stride, grad_y + l * l * stride,
                        grad_x + l * l * stride);
    }
  }

  /// y (+)= x W^T on n rows
  void linear(const fused::Linear<T> &w, const T *x, T *y, int n, bool add = false) const
  {
    gemm(x, stride, w.weight, stride, stride, y, stride, n, static_cast<const T *>(nullptr), add);
  }
  void linear_vjp(const fused::Linear<T> &w, const T *grad_y, T *grad_x, int n,
                  bool add = false) const
  {
    gemm(grad_y, stride, w.adjoint, stride, stride, grad_x, stride, n,
         static_cast<const T *>(nullptr), add);
  }
  /// The scalar rows of n atoms of d rows; y has one row per atom.
  void scalar_linear(const fused::Linear<T> &w, const T *x, T *y, int n, int d) const
  {
    gemm(x, static_cast<ptrdiff_t>(d) * stride, w.weight, stride, stride, y, stride, n, w.bias);
  }
  /// Adds to the scalar rows of grad_x, d rows per atom.
  void scalar_linear_vjp(const fused::Linear<T> &w, const T *grad_y, T *grad_x, int n, int d) const
  {
    gemm(grad_y, stride, w.adjoint, stride, stride, grad_x, static_cast<ptrdiff_t>(d) * stride, n,
         static_cast<const T *>(nullptr), true);
  }

  void add_bias(const T *bias, T *y, int n, int d) const
  {
    for (int i = 0; i < n; ++i)
      for (int v = 0; v < stride; v += LANES<T>) {
        T *to = y + static_cast<ptrdiff_t>(i) * d * stride + v;
        store(to, load(to) + load(bias + v));
      }
  }

  /// Values of all rows (bias on the scalar row) and gates -> gated values, in place.
  void gate(T *values, const T *gates, int n, int d) const
  {
    for (int i = 0; i < n; ++i, values += d * stride, gates += stride)
      for (int v = 0; v < stride; v += LANES<T>) {
        const V x = load(values + v), g = model.sigmoid_scale * sigmoid<T>(load(gates + v));
        store(values + v, model.silu_scale * x * sigmoid<T>(x));
        for (int k = 1; k < d; ++k)
          store(values + k * stride + v, g * load(values + k * stride + v));
      }
  }

  /// gradient of the gated values -> of the values (in place) and of the gates (replaces them);
  /// `values` are those before the gate.
  void gate_vjp(const T *values, T *gates, T *gradient, int n, int d) const
  {
    for (int i = 0; i < n; ++i, values += d * stride, gradient += d * stride, gates += stride)
      for (int v = 0; v < stride; v += LANES<T>) {
        const V x = load(values + v), s = sigmoid<T>(x), g = sigmoid<T>(load(gates + v));
        store(gradient + v, load(gradient + v) * model.silu_scale * s * (T(1) + x * (T(1) - s)));
        V sum{};
        for (int k = 1; k < d; ++k) {
          const V by = model.sigmoid_scale * g * load(gradient + k * stride + v);
          sum += by * load(values + k * stride + v);
          store(gradient + k * stride + v, by);
        }
        store(gates + v, sum * (T(1) - g));
      }
  }

 private:
  const fused::Model<T> &model;
  const int stride;

  /// A norm that does not divide: only a weight for each degree, and the scalar's bias.
  void weigh_rows(const fused::Norm<T> &w, const T *x, T *y, int d) const
  {
    for (int k = 0; k < d; ++k)
      for (int v = 0; v < stride; v += LANES<T>) {
        const V weighed = load(x + k * stride + v) * load(w.weight + degree_of(k) * stride + v);
        store(y + k * stride + v, k == 0 ? weighed + load(w.bias + v) : weighed);
      }
  }
  void weigh_rows_vjp(const fused::Norm<T> &w, const T *grad_y, T *grad_x, int d) const
  {
    for (int k = 0; k < d; ++k)
      for (int v = 0; v < stride; v += LANES<T>) {
        T *to = grad_x + k * stride + v;
        store(to, load(to) +
                      load(grad_y + k * stride + v) * load(w.weight + degree_of(k) * stride + v));
      }
  }

  void norm_scalar(const fused::Norm<T> &w, const T *x, T *y) const
  {
    const auto [mean, inverse] = moments(x);
    for (int v = 0; v < stride; v += LANES<T>)
      store(y + v, (load(x + v) - mean) * inverse * load(w.weight + v) + load(w.bias + v));
  }

  struct Moments {
    T mean, inverse;    // of the standard deviation
  };
  Moments moments(const T *x) const
  {
    V sum{}, squares{};
    for (int v = 0; v < stride; v += LANES<T>) sum += load(x + v);
    const T mean = sum_of<T>(sum) / T(model.n_channels);
    for (int v = 0; v < stride; v += LANES<T>) {
      const V centered = (load(x + v) - mean) * load(model.channel_mask + v);
      squares += centered * centered;
    }
    return {mean, T(1) / static_cast<T>(
                             __builtin_sqrt(sum_of<T>(squares) / T(model.n_channels) + T(1e-5)))};
  }

  void norm_scalar_vjp(const fused::Norm<T> &w, const T *x, const T *grad_y, T *grad_x) const
  {
    const auto [mean, inverse] = moments(x);
    V sum{}, along{};
    for (int v = 0; v < stride; v += LANES<T>) {
      const V g = load(grad_y + v) * load(w.weight + v);
      sum += g;
      along += g * (load(x + v) - mean);
    }
    const T n = T(model.n_channels);
    const T shift = sum_of<T>(sum) / n, slope = sum_of<T>(along) * inverse * inverse / n;
    for (int v = 0; v < stride; v += LANES<T>) {
      const V g = load(grad_y + v) * load(w.weight + v);
      store(grad_x + v, load(grad_x + v) + load(model.channel_mask + v) * inverse *
                                               (g - shift - (load(x + v) - mean) * slope));
    }
  }

  T inverse_norm(int l, const T *x) const
  {
    V squares{};
    for (int v = 0; v < (2 * l + 1) * stride; v += LANES<T>) squares += load(x + v) * load(x + v);
    const T mean = sum_of<T>(squares) / T((2 * l + 1) * model.n_channels);
    return T(1) / static_cast<T>(__builtin_sqrt(mean + model.norm_eps));
  }

  void norm_degree(const T *weight, int l, const T *x, T *y) const
  {
    const T inverse = inverse_norm(l, x);
    for (int k = 0; k < 2 * l + 1; ++k, x += stride, y += stride)
      for (int v = 0; v < stride; v += LANES<T>)
        store(y + v, load(x + v) * inverse * load(weight + v));
  }

  void norm_degree_vjp(const T *weight, int l, const T *x, const T *grad_y, T *grad_x) const
  {
    const T inverse = inverse_norm(l, x);
    V along{};
    for (int k = 0; k < 2 * l + 1; ++k)
      for (int v = 0; v < stride; v += LANES<T>)
        along += load(grad_y + k * stride + v) * load(weight + v) * load(x + k * stride + v);
    const T slope =
        sum_of<T>(along) * inverse * inverse * inverse / T((2 * l + 1) * model.n_channels);
    for (int k = 0; k < 2 * l + 1; ++k, x += stride, grad_y += stride, grad_x += stride)
      for (int v = 0; v < stride; v += LANES<T>)
        store(grad_x + v, load(grad_x + v) + load(grad_y + v) * load(weight + v) * inverse -
                              load(x + v) * slope);
  }
};

}    // namespace tdn::TDN_ISA
