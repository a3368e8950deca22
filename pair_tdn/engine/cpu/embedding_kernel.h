// `embed` and `embed_vjp` of kernels.h for one l_max.
#pragma once

#include "edge_segments.h"
#include "node_kernel.h"
#include "rows.h"

namespace tdn::TDN_ISA {

template <typename T, int L> class EmbeddingKernel {
 public:
  static constexpr int D = (L + 1) * (L + 1);
  using V = Vec<T>;
  using Model = fused::Model<T>;
  using Weights = fused::Embedding<T>;
  using Edges = fused::Edges<T>;
  using Range = fused::Range<T>;

  /// Scalar row: element and bonds; every row: project(sum over edges of K_k0 w), in the order of
  /// the model's degree embedding.
  static void embed(const Model &m, const Weights &w, const Edges &edges, const int64_t *species,
                    T *x, const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    T *degree = scratch.take(chunk_size(m, D));
    auto *block = Block::make(m, scratch);
    for_chunks(range, [&](int64_t begin, int n) {
      clear(degree, n * D * m.stride);
      for_blocks(m, w.radial, edges, begin, n, *block, [&](int64_t center, int e) {
        add_degree(m, w, *block, e, degree + offset(m, center - begin, D));
      });
      T *out = x + offset(m, begin, D);
      node.linear(w.project, degree, out, n * D);
      for (int k = 0; k < n; ++k) {
        const int64_t i = begin + k;
        const T bonds = static_cast<T>(edges.first[i + 1] - edges.first[i]);
        T *to = out + static_cast<ptrdiff_t>(k) * D * m.stride;
        const T *element = w.elements + species[i] * m.stride;
        for (int v = 0; v < m.stride; v += LANES<T>)
          store(to + v, load(to + v) + load(element + v) + bonds * load(w.edge_bias + v));
      }
    });
  }

  static void embed_vjp(const Model &m, const Weights &w, const Edges &edges, const T *grad_x,
                        const Range &range)
  {
    const NodeKernel<T> node(m);
    Scratch<T> scratch{range.scratch};
    T *by_degree = scratch.take(chunk_size(m, D));
    auto *block = Block::make(m, scratch);
    for_chunks(range, [&](int64_t begin, int n) {
      node.linear_vjp(w.project, grad_x + offset(m, begin, D), by_degree, n * D);
      for_blocks(
          m, w.radial, edges, begin, n, *block,
          [&](int64_t center, int e) {
            degree_vjp(m, w, *block, e, by_degree + offset(m, center - begin, D));
          },
          [&] { block->add_gradients(m, edges); });
    });
  }

 private:
  using Block = EdgeBlock<T, L, Form::SHARED>;

  struct Nothing {
    void operator()() const {}
  };

  /// visit(center, edge in block) for the edges of n centers; after() at the end of a block.
  template <typename Visit, typename After = Nothing>
  static void for_blocks(const Model &m, const fused::Radial<T> &radial, const Edges &edges,
                         int64_t begin, int n, Block &block, Visit visit, After after = {})
  {
    Segments segments(edges.first, begin, begin + n);
    const int64_t end = edges.first[begin + n];
    for (int64_t e = edges.first[begin]; e < end; e += EDGES) {
      block.prepare(m, radial, edges, e, static_cast<int>(end - e < EDGES ? end - e : EDGES));
      segments.divide(e, block.n);
      for (const Segment &part : segments)
        for (int k = part.begin; k < part.end; ++k) visit(part.center, k);
      after();
    }
  }

  static void add_degree(const Model &m, const Weights &w, const Block &block, int e, T *degree)
  {
    for (int v = 0; v < m.stride; v += LANES<T>) {
      V radial[L + 1] = {};
      embedding_weights(m, w, block, block.basis, e, v, radial);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        T *to = degree + k * m.stride + v;
        store(to, load(to) + block.matrix[k * D][e] * radial[degree_of(k)]);
      }
    }
  }

  /// For each degree of the product; the same for all if a channel has one weight.
  TDN_INLINE static void embedding_weights(const Model &m, const Weights &w, const Block &block,
                                           const T (&of_table)[6][EDGES], int e, int v,
                                           V (&out)[L + 1])
  {
    const int n = w.radial.n_weights;
    TDN_UNROLL
    for (int l = 0; l <= L; ++l)
      out[l] = l == 0 || n > 1
                   ? block.radial(w.radial.table, of_table, e, l * m.stride + v, n * m.stride)
                   : out[0];
  }

  static void degree_vjp(const Model &m, const Weights &w, Block &block, int e, const T *by_degree)
  {
    V by_length{}, by_matrix[D] = {};
    for (int v = 0; v < m.stride; v += LANES<T>) {
      V radial[L + 1] = {}, slope[L + 1] = {};
      embedding_weights(m, w, block, block.basis, e, v, radial);
      embedding_weights(m, w, block, block.slope, e, v, slope);
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        const V g = load(by_degree + k * m.stride + v);
        by_length += block.matrix[k * D][e] * g * slope[degree_of(k)];
        by_matrix[k] += radial[degree_of(k)] * g;
      }
    }
    block.by_length[e] = sum_of<T>(by_length);
    for (int k = 0; k < D * D; ++k) block.by_matrix[k][e] = 0;
    TDN_UNROLL
    for (int k = 0; k < D; ++k) block.by_matrix[k * D][e] = sum_of<T>(by_matrix[k]);
  }
};

}    // namespace tdn::TDN_ISA
