// From logits to attention weights and back. Among the kernels only this file distinguishes the
// kinds of attention: for an edge with envelope u and the logits l_h and constant_h of its heads
//   A_h = u exp(l_h) / (exp(constant_h) + sum over the center's edges of u exp(l_h)), or
//   A_h = scale u sigmoid(l_h + constant_h)
//
// A kind has two functions for each direction. In the forward pass, for each segment:
//   weigh(part, x, attended)     x: logits -> weights; earlier segments are rescaled
//   finish(part, attended)       when the segment has been added to `attended`
// In the backward pass:
//   begin_vjp(part, gradient)    for each segment, from the gradient of `attended`
//   vjp(e, a, x)                 for each edge, x: gradients of the weights a -> those of the
//                                logits; returns the gradient of log u
#pragma once

#include "edge_work.h"

namespace tdn::TDN_ISA {

/// x = f(x) on n numbers
template <typename T, typename Function> TDN_INLINE void for_vectors(T *x, int n, Function f)
{
  constexpr int N = LANES<T>;
  int k = 0;
  for (; k + N <= n; k += N) store(x + k, f(load(x + k)));
  if (k == n) return;
  T rest[N] = {};
  for (int l = 0; k + l < n; ++l) rest[l] = x[k + l];
  store(rest, f(load(rest)));
  for (int l = 0; k + l < n; ++l) x[k + l] = rest[l];
}

/// Computed block by block: the weights are relative to the highest logit so far, and all are
/// normalized after the last edge of a center.
template <typename T, int L, Form FORM> class Softmax {
  using V = Vec<T>;
  using Work = EdgeWork<T, L, FORM>;

 public:
  static size_t scratch_size(const fused::Model<T> &m) { return 4 * Heads<T>::scratch_size(m, 1); }

  Softmax(const Work &of, Scratch<T> &scratch)
      : work(of), n_heads(of.model.n_heads), stride(of.stride), highest(of.heads.take(scratch, 1)),
        total(of.heads.take(scratch, 1)), rescale(of.heads.take(scratch, 1)),
        mean(of.heads.take(scratch, 1))
  {
  }

  void weigh(const Segment &part, T *x, T *attended)
  {
    const T *constant = work.layer.constant;
    if (part.starts)
      for (int h = 0; h < n_heads; ++h) {
        highest[h] = constant ? constant[h] : T(-1e30);
        total[h] = constant ? T(1) : T(0);
      }
    for (int h = 0; h < n_heads; ++h) {
      T peak = highest[h];
      for (int e = part.begin; e < part.end; ++e) {
        const T logit = x[e * n_heads + h];
        peak = logit > peak ? logit : peak;
      }
      rescale[h] = highest[h] - peak;
      highest[h] = peak;
      for (int e = part.begin; e < part.end; ++e) x[e * n_heads + h] -= peak;
    }
    exponentials(rescale, n_heads);
    exponentials(x + part.begin * n_heads, (part.end - part.begin) * n_heads);
    for (int h = 0; h < n_heads; ++h) total[h] *= rescale[h];
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < n_heads; ++h) total[h] += x[e * n_heads + h] *= work.block->envelope[e];
    if (!part.starts) rescale_edges(work.edges.first[part.center], work.block->begin, attended);
  }

  /// The published denominator is 1e-16 more than the sum.
  void finish(const Segment &part, T *attended)
  {
    if (!part.ends) return;
    for (int h = 0; h < n_heads; ++h)
      rescale[h] = T(1) / (total[h] + (work.layer.constant ? T(0) : T(1e-16)));
    const int64_t *first = work.edges.first + part.center;
    rescale_edges(first[0], first[1], attended);
  }

  /// D_h = sum over the channels of a head of dO * O, the same for all edges of a center: it is
  /// subtracted from the gradient of each weight.
  void begin_vjp(const Segment &part, const T *gradient)
  {
    const int d_out = work.arrays.d_out;
    const T *out = work.arrays.attended + part.center * static_cast<ptrdiff_t>(d_out) * stride;
    work.heads.sum(mean, [&](int v) TDN_FLATTEN {
      V sum{};
      for (int k = 0; k < d_out; ++k)
        sum += load(gradient + k * stride + v) * load(out + k * stride + v);
      return sum;
    });
  }

  /// dl_h = A_h (dA_h - D_h); u scales A_h as exp(l_h) does.
  TDN_INLINE T vjp(int, const T *a, T *x) const
  {
    T all_heads = 0;
    for (int h = 0; h < n_heads; ++h) all_heads += x[h] = a[h] * (x[h] - mean[h]);
    return all_heads;
  }

 private:
  const Work &work;
  const int n_heads, stride;
  T *const highest;    // [n_heads] reference exponent of the current center
  T *const total;      // [n_heads] its denominator
  T *const rescale;    // [n_heads] factor of the sums of earlier blocks
  T *const mean;       // [n_heads] D_h

  static void exponentials(T *x, int n)
  {
    for_vectors(x, n, [](V y) TDN_FLATTEN { return exp_of<T>(y); });
  }

  /// Multiplies the weights of edges begin .. end - 1 and their sum by rescale, head by head.
  void rescale_edges(int64_t begin, int64_t end, T *attended) const
  {
    for (int64_t e = begin; e < end; ++e)
      for (int h = 0; h < n_heads; ++h) work.arrays.attention[e * n_heads + h] *= rescale[h];
    for (int v = 0; v < stride; v += LANES<T>) {
      const V factor = work.heads.spread(rescale, v);
      for (int k = 0; k < work.arrays.d_out; ++k)
        store(attended + k * stride + v, load(attended + k * stride + v) * factor);
    }
  }
};

/// Every edge is independent.
template <typename T, int L, Form FORM> class Sigmoids {
  using V = Vec<T>;
  using Work = EdgeWork<T, L, FORM>;

 public:
  explicit Sigmoids(const Work &of) : work(of), n_heads(of.model.n_heads) {}

  void weigh(const Segment &part, T *x, T *)
  {
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < n_heads; ++h) x[e * n_heads + h] += work.layer.constant[h];
    for_vectors(x + part.begin * n_heads, (part.end - part.begin) * n_heads,
                [](V y) TDN_FLATTEN { return sigmoid<T>(y); });
    for (int e = part.begin; e < part.end; ++e) {
      const T scale = limit(e);
      for (int h = 0; h < n_heads; ++h) x[e * n_heads + h] *= scale;
    }
  }
  void finish(const Segment &, T *) {}

  void begin_vjp(const Segment &, const T *) {}
  /// dl_h = A_h dA_h (1 - s_h) with the sigmoid s_h = A_h / (scale u)
  TDN_INLINE T vjp(int e, const T *a, T *x) const
  {
    T all_heads = 0;
    for (int h = 0; h < n_heads; ++h) all_heads += x[h] *= a[h];
    const T scale = limit(e);
    for (int h = 0; h < n_heads && scale > T(0); ++h) x[h] *= T(1) - a[h] / scale;
    return all_heads;
  }

 private:
  const Work &work;
  const int n_heads;

  TDN_INLINE T limit(int e) const { return work.model.sigmoid_attention * work.block->envelope[e]; }
};

/// All kinds, of which a model has one.
template <typename T, int L, Form FORM> class AttentionKinds {
  using Work = EdgeWork<T, L, FORM>;

 public:
  static size_t scratch_size(const fused::Model<T> &m)
  {
    return Softmax<T, L, FORM>::scratch_size(m);
  }

  AttentionKinds(const Work &work, Scratch<T> &scratch)
      : model(work.model), softmax(work, scratch), sigmoids(work)
  {
  }

  /// visitor(the model's kind)
  template <typename Visitor> TDN_INLINE void visit(Visitor visitor)
  {
    if (model.sigmoid_attention > T(0)) visitor(sigmoids);
    else visitor(softmax);
  }

 private:
  const fused::Model<T> &model;
  Softmax<T, L, FORM> softmax;
  Sigmoids<T, L, FORM> sigmoids;
};

}    // namespace tdn::TDN_ISA
