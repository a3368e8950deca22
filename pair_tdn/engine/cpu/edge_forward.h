// The forward pass of the edge work: attention weights block by block, and the sum over the edges
// of a center.
#pragma once

#include "attention_weights.h"
#include "rows.h"

namespace tdn::TDN_ISA {

/// See edge_work.h for the formulas.
template <typename T, int L, Form FORM> class EdgeForward {
  using V = Vec<T>;
  using Work = EdgeWork<T, L, FORM>;
  using Product = typename Work::Product;
  using Kinds = AttentionKinds<T, L, FORM>;
  static constexpr int D = Work::D, W = Work::W;

 public:
  static size_t scratch_size(const fused::Model<T> &m)
  {
    return Work::scratch_size(m) + Kinds::scratch_size(m) + Heads<T>::scratch_size(m, EDGES);
  }

  EdgeForward(const Work &of, Scratch<T> scratch)
      : work(of), model(of.model), arrays(of.arrays), stride(of.stride), kinds(work, scratch),
        weights(work.heads.take(scratch, EDGES))
  {
  }

  /// `center` and `attended` point to the first center of the range.
  void forward(int64_t begin, int64_t end, const T *center, T *attended)
  {
    const ptrdiff_t size = static_cast<ptrdiff_t>(arrays.d_out) * stride;
    for (int64_t i = begin; i < end; ++i)
      if (work.edges.first[i] == work.edges.first[i + 1])
        clear(attended + (i - begin) * size, size);
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
  const fused::LayerArrays<T> &arrays;
  const int stride;

  Kinds kinds;
  T *const weights;    // [EDGES][n_heads] logits, then attention weights

  /// lrelu(x) = 0.6 x + 0.4 x (2 sigmoid(x) - 1) = x (0.2 + 0.8 sigmoid(x))
  void make_logits()
  {
    for (int e = 0; e < work.block->n; ++e) {
      const T *x = work.scalars + e * 3 * stride + 2 * stride;
      work.heads.sum(weights + e * model.n_heads, [&](int v) TDN_FLATTEN {
        const V value = load(x + v);
        return load(work.layer.query + v) * value * (T(0.2) + T(0.8) * sigmoid<T>(value));
      });
    }
  }

  void forward_segment(const Segment &part, T *attended)
  {
    kinds.visit([&](auto &kind) TDN_FLATTEN {
      kind.weigh(part, weights, attended);
      add_segment(part, attended);
      kind.finish(part, attended);
    });
  }

  /// Keeps the attention weights; attended += sum over the segment's edges of A w K z
  void add_segment(const Segment &part, T *attended)
  {
    const int heads = model.n_heads;
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < heads; ++h)
        arrays.attention[(work.block->begin + e) * heads + h] = weights[e * heads + h];
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
        V factor = work.heads.spread(weights + e * model.n_heads, v);
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
