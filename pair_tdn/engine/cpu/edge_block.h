// Geometry of a block of edges: arrays of EDGES numbers, one for each edge, component-major.
#pragma once

#include "coupling.h"
#include "harmonics.h"
#include "kernels.h"

#include <new>

namespace tdn::TDN_ISA {

/// Edges in a block: a multiple of the rows of every tile and of the lanes of every vector.
inline constexpr int EDGES = 48;

/// Hands out parts of a thread's memory, 64-byte aligned.
template <typename T> struct Scratch {
  T *next;
  TDN_INLINE T *take(size_t n)
  {
    T *const begin = next;
    next += (n + 15) / 16 * 16;
    return begin;
  }
};

template <typename T, int L, Form FORM> struct EdgeBlock {
  using Entries = Coupling<L, FORM>;
  static constexpr int D = (L + 1) * (L + 1), N = Entries::N_ENTRIES;
  using V = Vec<T>;

  int64_t begin;                                           // first edge
  int n;                                                   // number of edges, at most EDGES
  alignas(64) T x[EDGES], y[EDGES], z[EDGES], r[EDGES];    // unit vector and length
  alignas(64) T envelope[EDGES], log_slope[EDGES];         // u, d log u / dr
  alignas(64) T basis[6][EDGES], slope[6][EDGES];    // of the table's entries in u f and d(u f)/dr
  alignas(64) T harmonics[D][EDGES];
  alignas(64) T matrix[N][EDGES];       // K
  alignas(64) T by_matrix[N][EDGES];    // gradient with respect to K
  alignas(64) T by_length[EDGES];       // and to the length
  ptrdiff_t entry[EDGES];               // offset of the two knots in the table
  int32_t neighbor[EDGES], target[EDGES];
  /// An entry of K is a sum over harmonics: the model's terms begin .. end - 1.
  struct Terms {
    int begin, end;
  };
  Terms terms[N];

  /// Numbers that `make` takes of a thread's memory.
  static constexpr size_t scratch_size() { return sizeof(EdgeBlock) / sizeof(T) + 16; }

  static EdgeBlock *make(const fused::Model<T> &model, Scratch<T> &scratch)
  {
    EdgeBlock *const block = new (scratch.take(scratch_size())) EdgeBlock;
    for (const Part &part : Entries::PARTS)
      for (int k = part.product * part.product; k < (part.product + 1) * (part.product + 1); ++k)
        for (int j = part.first * part.first; j < (part.first + 1) * (part.first + 1); ++j)
          block->terms[Entries::entry(part, k, j)] = terms_of(model, part, k, j);
    return block;
  }

  int rounded() const { return (n + LANES<T> - 1) / LANES<T> * LANES<T>; }

  void load_vectors(const fused::Edges<T> &edges)
  {
    const T *from = edges.vectors + 3 * begin;
    const int padded = rounded();
    for (int e = 0; e < n; ++e) {
      x[e] = from[3 * e];
      y[e] = from[3 * e + 1];
      z[e] = from[3 * e + 2];
      neighbor[e] = edges.neighbor[begin + e];
      target[e] = edges.target ? edges.target[begin + e] : neighbor[e];
    }
    for (int e = n; e < padded; ++e) x[e] = y[e] = z[e] = T(1);
    for (int e = 0; e < padded; ++e) {
      const T square = x[e] * x[e] + y[e] * y[e] + z[e] * z[e];
      r[e] = __builtin_sqrt(square > T(1e-12) ? square : T(1e-12));
      const T inverse = T(1) / r[e];
      x[e] *= inverse;
      y[e] *= inverse;
      z[e] *= inverse;
    }
  }

  /// u = (1 - s)^3 sum_k (k+1)(k+2)/2 s^k with s = r / cutoff, k < p; its derivative is
  /// -p (p+1) (p+2) / 2 s^(p-1) (1 - s)^2 / cutoff.
  void set_envelope(const fused::Model<T> &model)
  {
    const int p = model.envelope_power, padded = rounded();
    if (p == 0) {
      for (int e = 0; e < padded; ++e) {
        envelope[e] = 1;
        log_slope[e] = 0;
      }
      return;
    }
    const T inverse = T(1) / model.cutoff;
    for (int e = 0; e < padded; ++e) {
      const T s = r[e] * inverse < T(1) ? r[e] * inverse : T(1), gap = T(1) - s;
      T total = 0, power = 1;
      for (int k = p - 1; k >= 0; --k) total = total * s + T(0.5) * T(k + 1) * T(k + 2);
      for (int k = 1; k < p; ++k) power *= s;
      envelope[e] = gap * gap * gap * total;
      const T factor = T(-0.5) * T(p) * T(p + 1) * T(p + 2) * inverse;
      log_slope[e] = gap > T(0) ? factor * power / (gap * total) : T(0);
    }
  }

  /// The position of an edge in its table, and the factors of its six coefficients in u f and
  /// d(u f)/dr.
  void place_in_table(const fused::Model<T> &model, const fused::Radial<T> &radial,
                      const fused::Edges<T> &edges)
  {
    const T inverse = T(radial.n_intervals) / model.cutoff;
    const int last = radial.n_intervals - 1, padded = rounded();
    alignas(64) int32_t interval[EDGES];
    for (int e = 0; e < padded; ++e) {
      const int32_t k = static_cast<int32_t>(r[e] * inverse);
      interval[e] = k > last ? last : k;
      set_basis(e, r[e] * inverse - T(interval[e]), inverse);
    }
    for (int e = 0; e < n; ++e) {
      const int slot = radial.n_slots > 1 ? edges.slot_of_pair[edges.pair[begin + e]] : 0;
      entry[e] = (static_cast<ptrdiff_t>(slot) * radial.n_intervals + interval[e]) * 6 *
                 model.stride * radial.n_weights;
    }
  }

  TDN_INLINE void set_basis(int e, T t, T inverse)
  {
    const T t2 = t * t, t3 = t2 * t, t4 = t2 * t2;
    const T value[6] = {T(1), t, t2, t3, t4, t4 * t};
    const T by_t[6] = {T(0), T(1), T(2) * t, T(3) * t2, T(4) * t3, T(5) * t4};
    const T u = envelope[e], by_r = u * log_slope[e];
    for (int k = 0; k < 6; ++k) {
      basis[k][e] = u * value[k];
      slope[k][e] = u * inverse * by_t[k] + by_r * value[k];
    }
  }

  void set_matrix(const fused::Model<T> &model)
  {
    for (int g = 0; g < n; g += LANES<T>) {
      for_each_harmonic<T, L>(load(x + g), load(y + g), load(z + g),
                              [&](int k, V value) { store(harmonics[k] + g, value); });
      for (int q = 0; q < N; ++q) {
        V sum{};
        for (int p = terms[q].begin; p < terms[q].end; ++p)
          sum += model.terms[p].value * load(harmonics[model.terms[p].j] + g);
        store(matrix[q] + g, sum);
      }
    }
  }

  void prepare(const fused::Model<T> &model, const fused::Radial<T> &radial,
               const fused::Edges<T> &edges, int64_t first, int count)
  {
    begin = first;
    n = count;
    load_vectors(edges);
    set_envelope(model);
    place_in_table(model, radial, edges);
    set_matrix(model);
  }

  /// From gradients by K and by the length to those by the edge vectors, which are added to.
  void add_gradients(const fused::Model<T> &model, const fused::Edges<T> &edges)
  {
    alignas(64) T out[3][EDGES];
    for (int g = 0; g < n; g += LANES<T>) {
      V by_harmonic[D] = {};
      for (int q = 0; q < N; ++q)
        for (int p = terms[q].begin; p < terms[q].end; ++p)
          by_harmonic[model.terms[p].j] += model.terms[p].value * load(by_matrix[q] + g);
      const V ux = load(x + g), uy = load(y + g), uz = load(z + g);
      V by[3];
      harmonics_vjp<T, L>(ux, uy, uz, [&](int k) { return by_harmonic[k]; }, by);
      const V along = by[0] * ux + by[1] * uy + by[2] * uz, inverse = T(1) / load(r + g);
      const V radial = load(by_length + g);
      store(out[0] + g, (by[0] - along * ux) * inverse + radial * ux);
      store(out[1] + g, (by[1] - along * uy) * inverse + radial * uy);
      store(out[2] + g, (by[2] - along * uz) * inverse + radial * uz);
    }
    T *to = edges.gradients + 3 * begin;
    for (int e = 0; e < n; ++e)
      for (int k = 0; k < 3; ++k) to[3 * e + k] += out[k][e];
  }

  /// Radial weights of an edge at position v of `row` numbers, weights times channels; `weights` is
  /// basis or slope.
  TDN_INLINE V radial(const T *table, const T (&weights)[6][EDGES], int e, int v, int row) const
  {
    const T *from = table + entry[e] + v;
    V sum = weights[0][e] * load(from);
    TDN_UNROLL
    for (int k = 1; k < 6; ++k) sum += weights[k][e] * load(from + k * row);
    return sum;
  }

 private:
  /// The entry's terms within a part: harmonics of its degree.
  static Terms terms_of(const fused::Model<T> &model, const Part &part, int k, int j)
  {
    int begin = model.first_term[k * D + j], end = model.first_term[k * D + j + 1];
    if (part.second < 0) return {begin, end};
    const int lowest = part.second * part.second, highest = lowest + 2 * part.second;
    while (begin < end && model.terms[begin].j < lowest) ++begin;
    while (begin < end && model.terms[end - 1].j > highest) --end;
    return {begin, end};
  }
};

}    // namespace tdn::TDN_ISA
