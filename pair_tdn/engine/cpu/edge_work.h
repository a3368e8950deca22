// The edge work of a layer in blocks of edges that stay in the L2 cache, after FlashAttention (Dao
// et al. 2022, arXiv 2205.14135): softmax over a center's edges is taken block by block, and all
// the forward pass leaves of an edge are its attention weights. The VJP computes a block anew.
//
// Of an edge e from center i to neighbor j, with K its matrix and w its radial weights (envelope u
// included):
//   s = a_j + c_i,  m = w K s,  [values; gates; logits] = W m_0 + b,  values_k = W_v m_k
//   z_0 = silu(values_0),  z_k = sigmoid(gates) values_k
//   A_h = u exp(<q, lrelu(logits)>_h) / (exp(constant_h) + sum over the center's edges), or
//   A_h = scale u sigmoid(<q, lrelu(logits)>_h + constant_h)
//   o = sum_e A w K z
// With separate weights of paths, w K v stands for the sum over paths p of w_p K_p v.
#pragma once

#include "edge_block.h"
#include "gemm.h"

namespace tdn::TDN_ISA {

/// What both passes share: memory of a block, its division among centers, and the way from rows to
/// values, gates and logits.
template <typename T, int L, Form FORM> class EdgeWork {
 public:
  static constexpr int D = (L + 1) * (L + 1);
  using V = Vec<T>;
  using Block = EdgeBlock<T, L, FORM>;
  using Entries = Coupling<L, FORM>;
  static constexpr bool SEPARATE = Entries::SEPARATE;
  static constexpr int W = Entries::N_WEIGHTS;    // radial weights per channel

  static size_t scratch_size(const fused::Model<T> &m)
  {
    const size_t s = static_cast<size_t>(m.stride);
    const size_t heads = static_cast<size_t>(m.n_heads);
    return sizeof(Block) / sizeof(T) + 64 + EDGES * s * (2 * D + 3 + (D > 1 ? D - 1 : 1) + 2 * W) +
           (EDGES + 5) * heads + 6 * LANES<T> + 2 * s + 16 * 20;
  }

  EdgeWork(const fused::Model<T> &m, const fused::Layer<T> &l, const fused::Edges<T> &e,
           const fused::LayerArrays<T> &a, Scratch<T> scratch, const fused::Range<T> &of)
      : model(m), layer(l), edges(e), arrays(a), range(of), stride(m.stride),
        head_width(m.n_channels / m.n_heads)
  {
    block = reinterpret_cast<Block *>(scratch.take(sizeof(Block) / sizeof(T) + 16));
    sums = scratch.take(EDGES * stride * D);
    messages = scratch.take(EDGES * stride * D);
    scalars = scratch.take(EDGES * stride * 3);
    vectors = scratch.take(EDGES * stride * (D > 1 ? D - 1 : 1));
    weights = scratch.take(EDGES * W * stride);
    by_weights = scratch.take(EDGES * W * stride);
    probabilities = take_of_heads(scratch, EDGES * m.n_heads);
    attention_row = take_of_heads(scratch, m.n_heads);
    highest = take_of_heads(scratch, m.n_heads);
    total = take_of_heads(scratch, m.n_heads);
    rescale = take_of_heads(scratch, m.n_heads);
    by_attention = take_of_heads(scratch, m.n_heads);
    head_of = reinterpret_cast<typename VectorOf<T>::Integer *>(scratch.take(m.stride));
    for (int c = 0; c < m.stride; ++c)
      head_of[c] = c < m.n_channels ? c / head_width : LANES<T> - 1;
  }

 protected:
  const fused::Model<T> &model;
  const fused::Layer<T> &layer;
  const fused::Edges<T> &edges;
  const fused::LayerArrays<T> &arrays;
  const fused::Range<T> &range;    // for its stopwatch
  const int stride, head_width;
  int64_t first_center = 0;

  Block *block;
  T *sums;               // [D][EDGES][stride] s
  T *messages;           // [D][EDGES][stride] m, later its gradient
  T *scalars;            // [EDGES][3][stride] values, gates, logits of the scalar row; gradients
  T *vectors;            // [D - 1][EDGES][stride] values of the other rows; gradients
  T *weights;            // [EDGES][W][stride] w
  T *by_weights;         // [EDGES][W][stride] gradient with respect to w of the second product
  T *probabilities;      // [EDGES][n_heads] logits, then weights relative to `highest`
  T *highest, *total;    // [n_heads] of the center under way: reference exponent, denominator
  T *rescale;            // [n_heads] factor of what was summed before this block
  T *by_attention;       // [n_heads]
  T *attention_row;      // [n_heads] of an edge
  typename VectorOf<T>::Integer *head_of;    // [stride] head of a channel

  /// Edges of one center in a block.
  struct Segment {
    int64_t center;
    int begin, end;
    bool starts, ends;    // holds the first, the last edge of the center
  };
  Segment segment[EDGES];
  int n_segments = 0;

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

  void segments(int64_t &i, int64_t end)
  {
    n_segments = 0;
    const int64_t last = block->begin + block->n;
    while (i < end && edges.first[i] < last) {
      const int64_t from = edges.first[i] > block->begin ? edges.first[i] : block->begin;
      const int64_t to = edges.first[i + 1] < last ? edges.first[i + 1] : last;
      if (to > from)
        segment[n_segments++] = {i, static_cast<int>(from - block->begin),
                                 static_cast<int>(to - block->begin), from == edges.first[i],
                                 to == edges.first[i + 1]};
      if (to < edges.first[i + 1]) break;
      ++i;
    }
  }

  /// Room for n numbers, and a vector more: spread() reads past the last head, and the zeros of
  /// padding channels times what it finds there must stay zeros.
  static T *take_of_heads(Scratch<T> &scratch, int n)
  {
    T *const begin = scratch.take(n + LANES<T>);
    for (int k = 0; k < n + LANES<T>; ++k) begin[k] = 0;
    return begin;
  }

  /// A number per head at channels v ..; `of_heads` can be read to a whole vector.
  TDN_INLINE V spread(const T *of_heads, int v) const
  {
    if (head_width % LANES<T> == 0) return all(of_heads[v / head_width]);
    if (model.n_heads <= LANES<T>) return permute<T>(load(of_heads), load_lanes<T>(head_of + v));
    V sum{};
    for (int h = v / head_width; h < model.n_heads && h * head_width < v + LANES<T>; ++h)
      sum += of_heads[h] * load(model.head_mask + h * stride + v);
    return sum;
  }

  /// Sums over the channels of each head; values(v) is called once per vector, in order.
  template <typename Values> TDN_INLINE void sum_heads(T *of_heads, Values values) const
  {
    constexpr int N = LANES<T>;
    if (head_width % N == 0) {
      for (int h = 0, v = 0; h < model.n_heads; ++h) {
        V sum{};
        for (; v < (h + 1) * head_width; v += N) sum += values(v);
        of_heads[h] = sum_of<T>(sum);
      }
    } else if (N % head_width == 0 && (head_width & (head_width - 1)) == 0) {
      for (int v = 0, h = 0; v < stride; v += N) {
        const V grouped = sum_groups<T>(values(v), head_width);
        for (int lane = 0; lane < N && h < model.n_heads; lane += head_width)
          of_heads[h++] = grouped[lane];
      }
    } else {
      for (int h = 0; h < model.n_heads; ++h) of_heads[h] = 0;
      for (int v = 0; v < stride; v += N) {
        const V value = values(v);
        for (int h = v / head_width; h < model.n_heads && h * head_width < v + N; ++h)
          of_heads[h] += sum_of<T>(value * load(model.head_mask + h * stride + v));
      }
    }
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

  /// Row K of the product of an edge's matrix and x, times w when paths have separate weights.
  template <int K> TDN_INLINE V row_of_product(int e, const V (&w)[W], const V (&x)[D]) const
  {
    V sum{};
    Entries::unrolled_parts([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product == degree_of(K)) {
        V of_part = SEPARATE ? V{} : sum;
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              if constexpr (!Entries::is_zero(part, K, j))
                of_part += block->matrix[Entries::entry(part, K, j)][e] * x[j];
            });
        sum = SEPARATE ? sum + w[part.weight] * of_part : of_part;
      }
    });
    return sum;
  }

  /// The adjoint of that: from g (OUT rows) to the gradients of x, and those of w, which are added
  /// to. When there is but one weight, the gradient of x lacks it.
  template <int OUT>
  TDN_INLINE void product_vjp(int e, const V (&w)[W], const V (&x)[D], const V (&g)[OUT],
                              V (&by_x)[D], V (&by_w)[W]) const
  {
    TDN_UNROLL
    for (int j = 0; j < D; ++j) by_x[j] = V{};
    Entries::unrolled_parts([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product * part.product < OUT)
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              V sum = SEPARATE ? V{} : by_x[j];
              unrolled<part.product * part.product, (part.product + 1) * (part.product + 1)>(
                  [&](auto k) TDN_FLATTEN {
                    if constexpr (!Entries::is_zero(part, k, j))
                      sum += block->matrix[Entries::entry(part, k, j)][e] * g[k];
                  });
              if constexpr (SEPARATE) by_w[part.weight] += sum * x[j];
              by_x[j] = SEPARATE ? by_x[j] + w[part.weight] * sum : sum;
            });
    });
    if constexpr (!SEPARATE) {
      TDN_UNROLL
      for (int j = 0; j < D; ++j) by_w[0] += by_x[j] * x[j];
    }
  }

  /// by_matrix += g_k w x_j for the entries that depend on the edge
  template <int OUT>
  TDN_INLINE void add_by_matrix(const V (&w)[W], const V (&x)[D], const V (&g)[OUT],
                                V (&by_matrix)[Entries::N_ENTRIES]) const
  {
    Entries::unrolled_parts([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product * part.product < OUT)
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              const V weighted = w[part.weight] * x[j];
              unrolled<part.product * part.product, (part.product + 1) * (part.product + 1)>(
                  [&](auto k) TDN_FLATTEN {
                    if constexpr (!Entries::is_constant(part, k, j))
                      by_matrix[Entries::entry(part, k, j)] += g[k] * weighted;
                  });
            });
    });
  }

  template <bool KEEP> void make_messages(const T *center)
  {
    for (int s = 0; s < n_segments; ++s) {
      const T *c = center + full_row(segment[s].center);
      for (int e = segment[s].begin; e < segment[s].end; ++e) make_message<KEEP>(c, e);
    }
  }

  template <bool KEEP> TDN_INLINE void make_message(const T *c, int e)
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
        if constexpr (KEEP) store(at(sums, k, e) + v, s[k]);
      }
      unrolled<0, D>([&](auto k) TDN_FLATTEN {
        const V product = row_of_product<k>(e, w, s);
        store(at(messages, k, e) + v, SEPARATE ? product : w[0] * product);
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
