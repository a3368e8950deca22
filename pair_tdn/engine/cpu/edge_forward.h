// The forward pass of the edge work: attention weights block by block, and the sum over the edges
// of a center.
#pragma once

#include "edge_work.h"
#include "rows.h"

namespace tdn::TDN_ISA {

/// See edge_work.h for the formulas.
template <typename T, int L, Form FORM> class EdgeForward {
  using V = Vec<T>;
  using Work = EdgeWork<T, L, FORM>;
  using Product = typename Work::Product;
  static constexpr int D = Work::D, W = Work::W;

 public:
  static size_t scratch_size(const fused::Model<T> &m)
  {
    return Work::scratch_size(m) + Heads<T>::scratch_size(m, EDGES) +
           3 * Heads<T>::scratch_size(m, 1);
  }

  EdgeForward(const fused::Model<T> &m, const fused::Layer<T> &l, const fused::Edges<T> &e,
              const fused::LayerArrays<T> &a, Scratch<T> scratch, const fused::Range<T> &range)
      : work(m, l, e, a, scratch, range), model(m), layer(l), edges(e), arrays(a), stride(m.stride),
        probabilities(work.heads.take(scratch, EDGES)), highest(work.heads.take(scratch, 1)),
        total(work.heads.take(scratch, 1)), rescale(work.heads.take(scratch, 1))
  {
  }

  /// `center` and `attended` point to the first center of the range.
  void forward(int64_t begin, int64_t end, const T *center, T *attended)
  {
    const ptrdiff_t size = static_cast<ptrdiff_t>(arrays.d_out) * stride;
    for (int64_t i = begin; i < end; ++i)
      if (edges.first[i] == edges.first[i + 1]) clear(attended + (i - begin) * size, size);
    const auto keep = [](int, int, int, V) TDN_FLATTEN {};
    work.for_blocks(begin, end, center, keep, [&](const Segments &segments) {
      make_logits();
      for (const Segment &part : segments) forward_segment(part, attended + work.row(part.center));
      work.range.lap(fused::ATTENTION);
    });
  }

 private:
  Work work;
  const fused::Model<T> &model;
  const fused::Layer<T> &layer;
  const fused::Edges<T> &edges;
  const fused::LayerArrays<T> &arrays;
  const int stride;

  T *const probabilities;    // [EDGES][n_heads] logits, then weights relative to `highest`
  T *const highest;          // [n_heads] reference exponent of the center under way
  T *const total;            // [n_heads] its denominator
  T *const rescale;          // [n_heads] factor of what was summed before this block

  /// lrelu(x) = 0.6 x + 0.4 x (2 sigmoid(x) - 1) = x (0.2 + 0.8 sigmoid(x))
  void make_logits()
  {
    for (int e = 0; e < work.block->n; ++e) {
      const T *x = work.scalars + e * 3 * stride + 2 * stride;
      work.heads.sum(probabilities + e * model.n_heads, [&](int v) TDN_FLATTEN {
        const V value = load(x + v);
        return load(layer.query + v) * value * (T(0.2) + T(0.8) * sigmoid<T>(value));
      });
    }
  }

  /// Logits of a segment -> u exp(logit - highest); what earlier blocks made follows the reference.
  void softmax(const Segment &part, T *attended)
  {
    const int heads = model.n_heads;
    if (part.starts)
      for (int h = 0; h < heads; ++h) {
        highest[h] = layer.constant ? layer.constant[h] : T(-1e30);
        total[h] = layer.constant ? T(1) : T(0);
      }
    for (int h = 0; h < heads; ++h) {
      T most = highest[h];
      for (int e = part.begin; e < part.end; ++e) {
        const T logit = probabilities[e * heads + h];
        most = logit > most ? logit : most;
      }
      rescale[h] = highest[h] - most;
      highest[h] = most;
      for (int e = part.begin; e < part.end; ++e) probabilities[e * heads + h] -= most;
    }
    exponentials(rescale, heads);
    exponentials(probabilities + part.begin * heads, (part.end - part.begin) * heads);
    for (int h = 0; h < heads; ++h) total[h] *= rescale[h];
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < heads; ++h)
        total[h] += probabilities[e * heads + h] *= work.block->envelope[e];
    if (part.starts) return;
    for (int64_t e = edges.first[part.center]; e < work.block->begin; ++e)
      for (int h = 0; h < heads; ++h) arrays.attention[e * heads + h] *= rescale[h];
    scale_rows(attended);
  }

  static void exponentials(T *x, int n)
  {
    for_vectors(x, n, [](V y) TDN_FLATTEN { return exp_of<T>(y); });
  }

  /// x = f(x) on n numbers
  template <typename Function> TDN_INLINE static void for_vectors(T *x, int n, Function f)
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

  /// The published denominator is 1e-16 more than the sum.
  void normalize_center(const Segment &part, T *attended)
  {
    const int heads = model.n_heads;
    for (int h = 0; h < heads; ++h)
      rescale[h] = T(1) / (total[h] + (layer.constant ? T(0) : T(1e-16)));
    for (int64_t e = edges.first[part.center]; e < edges.first[part.center + 1]; ++e)
      for (int h = 0; h < heads; ++h) arrays.attention[e * heads + h] *= rescale[h];
    scale_rows(attended);
  }

  /// attended *= rescale, head by head
  void scale_rows(T *attended)
  {
    for (int v = 0; v < stride; v += LANES<T>) {
      const V factor = work.heads.spread(rescale, v);
      for (int k = 0; k < arrays.d_out; ++k)
        store(attended + k * stride + v, load(attended + k * stride + v) * factor);
    }
  }

  /// Logits of a segment -> scale u sigmoid(logit + constant).
  void sigmoids(const Segment &part)
  {
    const int heads = model.n_heads, n = (part.end - part.begin) * heads;
    T *const of_segment = probabilities + part.begin * heads;
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < heads; ++h) probabilities[e * heads + h] += layer.constant[h];
    for_vectors(of_segment, n, [](V x) TDN_FLATTEN { return sigmoid<T>(x); });
    for (int e = part.begin; e < part.end; ++e) {
      const T factor = model.sigmoid_attention * work.block->envelope[e];
      for (int h = 0; h < heads; ++h) probabilities[e * heads + h] *= factor;
    }
  }

  void forward_segment(const Segment &part, T *attended)
  {
    if (model.sigmoid_attention > T(0)) {
      sigmoids(part);
      add_segment(part, attended);
      return;
    }
    softmax(part, attended);
    add_segment(part, attended);
    if (part.ends) normalize_center(part, attended);
  }

  /// Keeps the attention weights; attended += sum over the segment's edges of p w K z
  void add_segment(const Segment &part, T *attended)
  {
    const int heads = model.n_heads;
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < heads; ++h)
        arrays.attention[(work.block->begin + e) * heads + h] = probabilities[e * heads + h];
    if (arrays.d_out == 1) add_rows<1>(part, attended);
    else add_rows<D>(part, attended);
  }

  /// z of an edge at channels v ..
  TDN_INLINE void gated(int e, int v, V (&z)[D]) const
  {
    const T *t = work.scalars + e * 3 * stride + v;
    const V value = load(t);
    z[0] = model.silu_scale * value * sigmoid<T>(value);
    if constexpr (D > 1) {
      const V gate = model.sigmoid_scale * sigmoid<T>(load(t + stride));
      TDN_UNROLL
      for (int k = 1; k < D; ++k) z[k] = gate * load(work.at(work.vectors, k - 1, e) + v);
    }
  }

  template <int OUT> void add_rows(const Segment &part, T *out)
  {
    for (int v = 0; v < stride; v += LANES<T>) {
      V sum[OUT];
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) sum[k] = part.starts ? V{} : load(out + k * stride + v);
      for (int e = part.begin; e < part.end; ++e) {
        V z[D], w[W];
        gated(e, v, z);
        work.load_weights(e, v, w);
        V factor = work.heads.spread(probabilities + e * model.n_heads, v);
        if constexpr (!Product::SEPARATE) factor *= w[0];
        TDN_UNROLL
        for (int j = 0; j < D; ++j) z[j] *= factor;
        unrolled<0, OUT>(
            [&](auto k) TDN_FLATTEN { sum[k] += Product::template row<k>(*work.block, e, w, z); });
      }
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) store(out + k * stride + v, sum[k]);
    }
  }
};

}    // namespace tdn::TDN_ISA
