// The edge work of a layer in blocks of edges that stay in the L2 cache, after FlashAttention (Dao
// et al. 2022, arXiv 2205.14135): softmax over a center's edges is computed block by block, and the
// forward pass stores only the attention weights of an edge. The VJP recomputes each block.
//
// For an edge e from center i to neighbor j, with its matrix K and its radial weights w (including
// the envelope u):
//   s = a_j + c_i,  m = w K s,  [values; gates; logits] = W m_0 + b,  values_k = W_v m_k
//   z_0 = silu(values_0),  z_k = sigmoid(gates) values_k
//   A_h of u and <q, lrelu(logits)>_h, see attention_weights.h
//   o = sum_e A w K z
// With separate weights of paths, w K v stands for the sum over paths p of w_p K_p v.
#pragma once

#include "edge_heads.h"
#include "edge_product.h"
#include "edge_segments.h"
#include "gemm.h"

namespace tdn::TDN_ISA {

/// The common beginning of both passes: a block of edges, and the steps from rows to values, gates
/// and logits.
template <typename T, int L, Form FORM> struct EdgeWork {
  using V = Vec<T>;
  using Product = EdgeProduct<T, L, FORM>;
  using Block = typename Product::Block;
  static constexpr int D = Product::D, W = Product::W;
  static constexpr int VECTORS = D > 1 ? D - 1 : 1;

  const fused::Model<T> &model;
  const fused::Layer<T> &layer;
  const fused::Edges<T> &edges;
  const fused::LayerArrays<T> &arrays;
  const fused::Range<T> &range;    // for its stopwatch
  const int stride;
  int64_t first_center = 0;

  Block *const block;
  const Heads<T> heads;
  T *const messages;    // [D][EDGES][stride] m, later its gradient
  T *const scalars;     // [EDGES][3][stride] values, gates, logits of the scalar row; gradients
  T *const vectors;     // [D - 1][EDGES][stride] values of the other rows; gradients
  T *const weights;     // [EDGES][W][stride] w

  static size_t scratch_size(const fused::Model<T> &m)
  {
    return Block::scratch_size() + Heads<T>::scratch_size(m) +
           EDGES * static_cast<size_t>(m.stride) * (D + 3 + VECTORS + W) + 16 * 5;
  }

  EdgeWork(const fused::Model<T> &m, const fused::Layer<T> &l, const fused::Edges<T> &e,
           const fused::LayerArrays<T> &a, Scratch<T> &scratch, const fused::Range<T> &of)
      : model(m), layer(l), edges(e), arrays(a), range(of), stride(m.stride),
        block(Block::make(m, scratch)), heads(m, scratch),
        messages(scratch.take(EDGES * stride * D)), scalars(scratch.take(EDGES * stride * 3)),
        vectors(scratch.take(EDGES * stride * VECTORS)), weights(scratch.take(EDGES * stride * W))
  {
  }

  /// Offset of a center in arrays of d_out rows per center that begin with the first center.
  ptrdiff_t row(int64_t center) const
  {
    return (center - first_center) * static_cast<ptrdiff_t>(arrays.d_out) * stride;
  }
  ptrdiff_t full_row(int64_t center) const
  {
    return (center - first_center) * static_cast<ptrdiff_t>(D) * stride;
  }
  TDN_INLINE T *at(T *array, int k, int e) const
  {
    return array + (static_cast<ptrdiff_t>(k) * EDGES + e) * stride;
  }
  TDN_INLINE T *at_weight(T *array, int p, int e) const
  {
    return array + (static_cast<ptrdiff_t>(e) * W + p) * stride;
  }

  TDN_INLINE void load_weights(int e, int v, V (&w)[W]) const
  {
    TDN_UNROLL
    for (int p = 0; p < W; ++p) w[p] = load(at_weight(weights, p, e) + v);
  }

  /// For the centers begin .. end - 1, block by block: computes values, gates and logits, then
  /// calls visit(segments). `center` points to the first row; keep(row, edge, channel, s) may store
  /// the sums s of which the messages are made.
  template <typename Keep, typename Visit>
  void for_blocks(int64_t begin, int64_t end, const T *center, Keep keep, Visit visit)
  {
    first_center = begin;
    Segments segments(edges.first, begin, end);
    range.lap(fused::NODES);
    for (int64_t e = edges.first[begin]; e < edges.first[end]; e += EDGES) {
      const int64_t left = edges.first[end] - e;
      block->prepare(model, layer.radial, edges, e, static_cast<int>(left < EDGES ? left : EDGES));
      segments.divide(e, block->n);
      range.lap(fused::GEOMETRY);
      make_messages(segments, center, keep);
      range.lap(fused::MESSAGES);
      multiply();
      range.lap(fused::PRODUCTS);
      visit(segments);
    }
  }

 private:
  template <typename Keep> void make_messages(const Segments &segments, const T *center, Keep keep)
  {
    for (const Segment &part : segments) {
      const T *c = center + full_row(part.center);
      for (int e = part.begin; e < part.end; ++e) make_message(c, e, keep);
    }
  }

  template <typename Keep> TDN_INLINE void make_message(const T *c, int e, Keep keep)
  {
    const T *a = arrays.rows + static_cast<ptrdiff_t>(block->neighbor[e]) * D * stride;
    if (e + 1 < block->n) {
      const T *next = arrays.rows + static_cast<ptrdiff_t>(block->neighbor[e + 1]) * D * stride;
      for (int p = 0; p < D * stride; p += 64 / static_cast<int>(sizeof(T)))
        __builtin_prefetch(next + p);
    }
    for (int v = 0; v < stride; v += LANES<T>) {
      V s[D], w[W];
      TDN_UNROLL
      for (int p = 0; p < W; ++p) {
        w[p] = block->radial(layer.radial.table, block->basis, e, p * stride + v, W * stride);
        store(at_weight(weights, p, e) + v, w[p]);
      }
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        s[k] = load(a + k * stride + v) + load(c + k * stride + v);
        keep(k, e, v, s[k]);
      }
      unrolled<0, D>([&](auto k) TDN_FLATTEN {
        const V product = Product::template row<k>(*block, e, w, s);
        store(at(messages, k, e) + v, Product::SEPARATE ? product : w[0] * product);
      });
    }
  }

  void multiply()
  {
    const fused::Linear<T> *parts[3] = {&layer.values, &layer.gates, &layer.logits};
    for (int k = 0; k < 3; ++k)
      gemm(messages, stride, parts[k]->weight, stride, stride, scalars + k * stride, 3 * stride,
           block->n, parts[k]->bias);
    if (block->n == EDGES)
      gemm(at(messages, 1, 0), stride, layer.values.weight, stride, stride, vectors, stride,
           (D - 1) * EDGES);
    else
      for (int k = 1; k < D; ++k)
        gemm(at(messages, k, 0), stride, layer.values.weight, stride, stride, at(vectors, k - 1, 0),
             stride, block->n);
  }
};

}    // namespace tdn::TDN_ISA
