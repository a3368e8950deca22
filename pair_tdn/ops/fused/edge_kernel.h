// The edge work of a layer in blocks of edges that stay in the L2 cache, after FlashAttention (Dao
// et al. 2022, arXiv 2205.14135): softmax over a center's edges is taken block by block, and all
// the forward pass leaves of an edge are its attention weights. The VJP computes a block anew.
//
// Of an edge e from center i to neighbor j, with K its matrix and w its radial weights (envelope u
// included):
//   s = a_j + c_i,  m = w K s,  [values; gates; logits] = W m_0 + b,  values_k = W_v m_k
//   z_0 = silu(values_0),  z_k = sigmoid(gates) values_k
//   A_h = u exp(<q, lrelu(logits)>_h) / (exp(constant_h) + sum over the center's edges)
//   o = sum_e A w K z
#pragma once

#include "edge_block.h"
#include "gemm.h"

namespace tdn::TDN_ISA {

/// FEW: most entries of K vanish or are constant, see couples_few().
template <typename T, int L, bool FEW = false> class EdgeKernel {
 public:
  static constexpr int D = (L + 1) * (L + 1);
  using V = Vec<T>;
  using Block = EdgeBlock<T, L>;

  static size_t scratch_size(const fused::Model<T> &m)
  {
    const size_t s = static_cast<size_t>(m.stride);
    const size_t heads = static_cast<size_t>(m.n_heads);
    return sizeof(Block) / sizeof(T) + 64 + EDGES * s * (2 * D + 3 + (D - 1) + 2) +
           (EDGES + 5) * heads + 6 * LANES<T> + 2 * s + 16 * 20;
  }

  EdgeKernel(const fused::Model<T> &m, const fused::Layer<T> &l, const fused::Edges<T> &e,
             const fused::LayerArrays<T> &a, Scratch<T> scratch, const fused::Range<T> &of)
      : model(m), layer(l), edges(e), arrays(a), range(of), stride(m.stride),
        head_width(m.n_channels / m.n_heads)
  {
    block = reinterpret_cast<Block *>(scratch.take(sizeof(Block) / sizeof(T) + 16));
    sums = scratch.take(EDGES * stride * D);
    messages = scratch.take(EDGES * stride * D);
    scalars = scratch.take(EDGES * stride * 3);
    vectors = scratch.take(EDGES * stride * (D > 1 ? D - 1 : 1));
    weights = scratch.take(EDGES * stride);
    by_weights = scratch.take(EDGES * stride);
    probabilities = scratch.take(EDGES * m.n_heads + LANES<T>);
    attention_row = scratch.take(m.n_heads + LANES<T>);
    highest = scratch.take(m.n_heads + LANES<T>);
    total = scratch.take(m.n_heads + LANES<T>);
    rescale = scratch.take(m.n_heads + LANES<T>);
    by_attention = scratch.take(m.n_heads + LANES<T>);
    head_of = reinterpret_cast<typename VectorOf<T>::Integer *>(scratch.take(m.stride));
    for (int c = 0; c < m.stride; ++c)
      head_of[c] = c < m.n_channels ? c / head_width : LANES<T> - 1;
  }

  /// `center` and `attended` point to the first center of the range.
  void forward(int64_t begin, int64_t end, const T *center, T *attended)
  {
    first_center = begin;
    range.lap(fused::NODES);
    for (int64_t i = begin; i < end; ++i)
      if (edges.first[i] == edges.first[i + 1]) clear(attended + row(i));
    int64_t i = begin;    // the center of the next edge
    for (int64_t e = edges.first[begin]; e < edges.first[end]; e += EDGES) {
      const int64_t left = edges.first[end] - e;
      block->prepare(model, layer.radial, edges, e, static_cast<int>(left < EDGES ? left : EDGES));
      segments(i, end);
      range.lap(fused::GEOMETRY);
      make_messages<false>(center);
      range.lap(fused::MESSAGES);
      multiply();
      range.lap(fused::PRODUCTS);
      make_logits();
      for (int s = 0; s < n_segments; ++s) forward_segment(segment[s], attended);
      range.lap(fused::ATTENTION);
    }
  }

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
      make_messages<true>(center);
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

  /// Whether K of l_max 1 has the pattern of products that keep parity: K_kj = 0 for different k, j
  /// > 0, and constant K_kk. Holds for exact couplings of O(3) paths.
  static bool couples_few(const fused::Model<T> &m)
  {
    if (L != 1) return false;
    for (int k = 0; k < D; ++k)
      for (int j = 0; j < D; ++j)
        for (int t = m.first_term[k * D + j]; t < m.first_term[k * D + j + 1]; ++t)
          if ((k > 0 && j > 0 && k != j) || (m.terms[t].j > 0 && (k == 0) == (j == 0)))
            return false;
    return true;
  }

 private:
  static constexpr bool is_zero(int k, int j) { return FEW && k > 0 && j > 0 && k != j; }
  static constexpr bool is_constant(int k, int j) { return FEW && (k == 0) == (j == 0); }

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
  T *weights;            // [EDGES][stride] w
  T *by_weights;         // [EDGES][stride] gradient with respect to w of the second product
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

  void clear(T *attended) const
  {
    for (int k = 0; k < arrays.d_out * stride; ++k) attended[k] = 0;
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
      const V w = block->radial(layer.radial.table, block->basis, e, v, stride);
      store(weights + e * stride + v, w);
      V s[D];
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        s[k] = load(a + k * stride + v) + load(c + k * stride + v);
        if constexpr (KEEP) store(at(sums, k, e) + v, s[k]);
      }
      TDN_UNROLL
      for (int k = 0; k < D; ++k) {
        V sum = block->matrix[k * D][e] * s[0];
        TDN_UNROLL
        for (int j = 1; j < D; ++j)
          if (!is_zero(k, j)) sum += block->matrix[k * D + j][e] * s[j];
        store(at(messages, k, e) + v, w * sum);
      }
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

  /// lrelu(x) = 0.6 x + 0.4 x (2 sigmoid(x) - 1) = x (0.2 + 0.8 sigmoid(x))
  void make_logits()
  {
    for (int e = 0; e < block->n; ++e) {
      const T *x = scalars + e * 3 * stride + 2 * stride;
      sum_heads(probabilities + e * model.n_heads, [&](int v) TDN_FLATTEN {
        const V value = load(x + v);
        return load(layer.query + v) * value * (T(0.2) + T(0.8) * sigmoid<T>(value));
      });
    }
  }

  /// Logits of a segment -> u exp(logit - highest); sums of earlier blocks follow the reference.
  void softmax(const Segment &part)
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
        total[h] += probabilities[e * heads + h] *= block->envelope[e];
  }

  static void exponentials(T *x, int n)
  {
    constexpr int N = LANES<T>;
    int k = 0;
    for (; k + N <= n; k += N) store(x + k, exp_of<T>(load(x + k)));
    if (k == n) return;
    T rest[N] = {};
    for (int l = 0; k + l < n; ++l) rest[l] = x[k + l];
    store(rest, exp_of<T>(load(rest)));
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
      const V factor = spread(rescale, v);
      for (int k = 0; k < arrays.d_out; ++k)
        store(attended + k * stride + v, load(attended + k * stride + v) * factor);
    }
  }

  void forward_segment(const Segment &part, T *attended)
  {
    const int heads = model.n_heads;
    T *const out = attended + row(part.center);
    softmax(part);
    if (!part.starts) {
      for (int64_t e = edges.first[part.center]; e < block->begin; ++e)
        for (int h = 0; h < heads; ++h) arrays.attention[e * heads + h] *= rescale[h];
      scale_rows(out);
    }
    for (int e = part.begin; e < part.end; ++e)
      for (int h = 0; h < heads; ++h)
        arrays.attention[(block->begin + e) * heads + h] = probabilities[e * heads + h];
    if (arrays.d_out == 1) add_segment<1>(part, out);
    else add_segment<D>(part, out);
    if (part.ends) normalize_center(part, out);
  }

  /// z of an edge at channels v ..
  TDN_INLINE void gated(int e, int v, V (&z)[D]) const
  {
    const T *t = scalars + e * 3 * stride + v;
    const V value = load(t);
    z[0] = model.silu_scale * value * sigmoid<T>(value);
    if constexpr (D > 1) {
      const V gate = model.sigmoid_scale * sigmoid<T>(load(t + stride));
      TDN_UNROLL
      for (int k = 1; k < D; ++k) z[k] = gate * load(at(vectors, k - 1, e) + v);
    }
  }

  /// out += sum over the segment's edges of p w K z
  template <int OUT> void add_segment(const Segment &part, T *out)
  {
    for (int v = 0; v < stride; v += LANES<T>) {
      V sum[OUT];
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) sum[k] = part.starts ? V{} : load(out + k * stride + v);
      for (int e = part.begin; e < part.end; ++e) {
        V z[D];
        gated(e, v, z);
        const V factor =
            spread(probabilities + e * model.n_heads, v) * load(weights + e * stride + v);
        TDN_UNROLL
        for (int j = 0; j < D; ++j) z[j] *= factor;
        TDN_UNROLL
        for (int k = 0; k < OUT; ++k) {
          TDN_UNROLL
          for (int j = 0; j < D; ++j)
            if (!is_zero(k, j)) sum[k] += block->matrix[k * D + j][e] * z[j];
        }
      }
      TDN_UNROLL
      for (int k = 0; k < OUT; ++k) store(out + k * stride + v, sum[k]);
    }
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
