// Interface of the kernels of an instruction set. Everything here works on a range of centers,
// without torch; arrays are rows of `stride` numbers, the channels padded with zeros to whole
// vectors, so that kernels have no tails.
//
// A layer (see python/tdn/model/attention.py for the formulas):
//   send          a = W_s norm(x) + b_s                      rows that neighbors read
//   update        c = W_d norm(x), edge work -> o, x' = x + W_o o + b_o, x' +
//   feed_forward(norm(x'))
// and the vector-Jacobian products of both, which recompute what they need from x, o and the
// attention weights.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tdn::fused {

/// Shape of a network and constants of its formulas.
template <typename T> struct Model {
  int l_max, d, n_channels, stride, n_heads;
  int n_weights;    // largest number of radial weights per channel in any table, see Radial
  T cutoff;
  int envelope_power;    // 0: no envelope (paper)
  T norm_eps, silu_scale, sigmoid_scale;
  bool norm_divides;      // false: norms are only their weights and biases
  T sigmoid_attention;    // scale of sigmoids instead of the softmax; 0: softmax

  /// K_ki = sum of value * Y_j, sorted by (k, i); entry(k, i) starts at first_term[k * d + i].
  struct Term {
    int j;
    T value;
  };
  const Term *terms;
  const int *first_term;    // d * d + 1
  const T *channel_mask;    // (stride) 1 for channels, 0 for padding
  const T *head_mask;       // (n_heads, stride) 1 for channels of a head
};

/// A linear map with packed weights and those of its adjoint; bias (n_out) or null.
template <typename T> struct Linear {
  const T *weight = nullptr, *adjoint = nullptr, *bias = nullptr;
};

template <typename T> struct Norm {
  const T *weight = nullptr;    // (l_max + 1, stride)
  const T *bias = nullptr;      // (stride)
};

/// Polynomials of degree five [slot][interval][coefficient][weight][stride]: in each interval from
/// knot to knot f = sum_q c_q t^q, t from 0 to 1. (Computed from the two knots in float64: their
/// difference, which dominates the slope, would lose its digits in float32.)
///
/// A channel has one weight for the whole product K v, or one for each path: a degree of the
/// product, of v and of the spherical harmonics in K with an even sum, sorted in this order. In the
/// embedding, where v is scalar, that is one for each degree of the product.
template <typename T> struct Radial {
  const T *table = nullptr;
  int n_intervals = 0, n_slots = 0, n_weights = 1;
};

template <typename T> struct Embedding {
  const T *elements = nullptr;     // (n_elements, stride)
  const T *edge_bias = nullptr;    // (stride)
  Linear<T> project;
  Radial<T> radial;
};

template <typename T> struct Layer {
  Norm<T> norm;
  Linear<T> send, center;
  Radial<T> radial;
  Linear<T> values, gates, logits;
  const T *query = nullptr;       // (stride)
  const T *constant = nullptr;    // (n_heads), null in the paper's setting
  Linear<T> out;
  Norm<T> feed_forward_norm;
  Linear<T> feed_forward_values, feed_forward_gates, feed_forward_out;
};

template <typename T> struct Readout {
  Norm<T> norm;
  Linear<T> hidden;
  const T *out = nullptr;    // (stride)
  T bias = 0;
};

/// Edges by center: those of center i are first[i] .. first[i + 1] - 1.
template <typename T> struct Edges {
  const int64_t *first;
  const int32_t *neighbor;        // row that is read
  const int32_t *pair;            // ordered pair of species
  const int32_t *slot_of_pair;    // table of a pair
  const T *vectors;               // (n_edges, 3) angstrom
  T *gradients;                   // (n_edges, 3), added to
  const int32_t *target;          // row of `grad_rows` that an edge adds to; null: neighbor
};

/// Stages to which the time of a thread is assigned.
enum Stage {
  NODES,        ///< norms, linear maps and feed-forward of atoms
  GEOMETRY,     ///< K, envelope, positions in tables, and their gradients to the edge vectors
  MESSAGES,     ///< gather, radial weights, first product with K, and scatter of gradients
  PRODUCTS,     ///< matrix products of edges
  ATTENTION,    ///< logits, attention weights, gates, second product with K
  N_STAGES
};

/// Adds the time since the last lap to a stage. The caller gives the clock: kernels call nothing.
struct Stopwatch {
  int64_t (*now)();    // nanoseconds
  int64_t last;
  int64_t spent[N_STAGES];
};

/// Centers begin .. end - 1, and memory of scratch_size() numbers for one thread.
template <typename T> struct Range {
  int64_t begin, end;
  T *scratch;
  Stopwatch *watch = nullptr;    // of this thread, if times are measured

  void lap(Stage stage) const
  {
    if (!watch) return;
    const int64_t time = watch->now();
    watch->spent[stage] += time - watch->last;
    watch->last = time;
  }
};

/// Arrays of one layer: x (n_owned, d, stride), rows (n_rows, d, stride), attended
/// (n_owned, d_out, stride), attention (n_edges, n_heads). d_out is 1 if only the scalar row of
/// the result is read (last layer) and d otherwise; results have d_out rows.
template <typename T> struct LayerArrays {
  const T *x, *rows;
  T *attended, *attention;
  int d_out;
};

/// Functions of one instruction set.
template <typename T> struct Kernels {
  const char *name;
  int lanes;
  size_t (*scratch_size)(const Model<T> &);
  /// Element (p, q) of k x n is at from[p * row + q * column]; fills k * n numbers.
  void (*pack)(const T *from, ptrdiff_t row, ptrdiff_t column, int k, int n, T *to);

  void (*embed)(const Model<T> &, const Embedding<T> &, const Edges<T> &, const int64_t *species,
                T *x, const Range<T> &);
  void (*embed_vjp)(const Model<T> &, const Embedding<T> &, const Edges<T> &, const T *grad_x,
                    const Range<T> &);
  void (*send)(const Model<T> &, const Layer<T> &, const T *x, T *rows, const Range<T> &);
  /// grad_x += gradient through `send`.
  void (*send_vjp)(const Model<T> &, const Layer<T> &, const T *x, const T *grad_rows, T *grad_x,
                   const Range<T> &);
  /// Fills attended and attention, and x_next (n_owned, d_out, stride) unless it is null.
  void (*update)(const Model<T> &, const Layer<T> &, const Edges<T> &, const LayerArrays<T> &,
                 T *x_next, const Range<T> &);
  /// grad_next (n_owned, d_out, stride) -> grad_x (n_owned, d, stride), which may be the same
  /// memory; adds to grad_rows and to the edges' gradients.
  void (*update_vjp)(const Model<T> &, const Layer<T> &, const Edges<T> &, const LayerArrays<T> &,
                     const T *grad_next, T *grad_x, T *grad_rows, const Range<T> &);
  /// The edge work alone, from c (n_owned, d, stride), and its VJP from grad_attended; adds to
  /// grad_center and grad_rows.
  void (*attend)(const Model<T> &, const Layer<T> &, const Edges<T> &, const LayerArrays<T> &,
                 const T *center, const Range<T> &);
  void (*attend_vjp)(const Model<T> &, const Layer<T> &, const Edges<T> &, const LayerArrays<T> &,
                     const T *center, const T *grad_attended, T *grad_center, T *grad_rows,
                     const Range<T> &);
  /// Scalar rows (n_owned, stride) -> values (n_owned), and d value / d x unless grad_x is null.
  void (*readout)(const Model<T> &, const Readout<T> &, const T *x, T *values, T *grad_x,
                  const Range<T> &);

  /// Measure rates of this processor, null for kernels without vectors: n rounds of fused
  /// multiply-adds in registers, or of a product of a block of edges with 128 x 128 weights. Return
  /// the number of floating-point operations.
  double (*register_loop)(int64_t n) = nullptr;
  double (*product_loop)(int64_t n, T *scratch) = nullptr;
};

/// Kernels of the widest instruction set of this processor, or those named in TDN_KERNELS
/// (reference, portable, avx2, avx512). Throws tdn::Error if these do not exist or cannot run here.
template <typename T> const Kernels<T> &kernels();
template <> __attribute__((visibility("default"))) const Kernels<float> &kernels();
template <> __attribute__((visibility("default"))) const Kernels<double> &kernels();

extern const Kernels<float> reference_float, portable_float, avx2_float, avx512_float;
extern const Kernels<double> reference_double, portable_double, avx2_double, avx512_double;

}    // namespace tdn::fused
