// One edge in the reference kernels: its matrix K, its radial weights, the product with both, and
// what of a gradient comes back to its vector.
#pragma once

#include "reference_node.h"

namespace tdn::fused::reference {

/// m-th derivative of the Legendre polynomial P_l at y, by the recursion in l at fixed m from
/// P_m^(m) = (2 m - 1)!!
template <typename T> T legendre_derivative(int l, int m, T y)
{
  if (l < m) return 0;
  T before = 0, value = 1;
  for (int k = 1; k <= m; ++k) value *= T(2 * k - 1);
  for (int k = m + 1; k <= l; ++k) {
    const T next = (T(2 * k - 1) * y * value - T(k + m - 1) * before) / T(k - m);
    before = value;
    value = next;
  }
  return value;
}

/// N_lm = sqrt((2 l + 1) (2 - delta_m0) (l - m)! / (l + m)!)
template <typename T> T harmonic_norm(int l, int m)
{
  double square = (2 * l + 1) * (m == 0 ? 1.0 : 2.0);
  for (int k = l - m + 1; k <= l + m; ++k) square /= k;
  return static_cast<T>(std::sqrt(square));
}

/// Y_{l,+m} = N_lm P_l^(m)(y) A_m, Y_{l,-m} = N_lm P_l^(m)(y) B_m of a unit vector u = (x, y, z),
/// where A_m + i B_m = (z + i x)^m (python/tdn/model/spherical_harmonics.py).
template <typename T> void harmonics(const T (&u)[3], int l_max, T *out)
{
  T a = 1, b = 0;
  for (int m = 0; m <= l_max; ++m) {
    for (int l = m; l <= l_max; ++l) {
      const T common = harmonic_norm<T>(l, m) * legendre_derivative(l, m, u[1]);
      out[l * l + l - m] = common * b;
      out[l * l + l + m] = common * a;    // last, so that m = 0 is A_0
    }
    const T next = u[2] * a - u[0] * b;
    b = u[2] * b + u[0] * a;
    a = next;
  }
}

/// grad_u += sum_k grad_k dY_k / du, of Y as a function of three free coordinates: d P_l^(m) / dy
/// is P_l^(m+1), and d (A_m + i B_m) = m (A_{m-1} + i B_{m-1}) (dz + i dx).
template <typename T> void harmonics_vjp(const T (&u)[3], int l_max, const T *grad, T (&grad_u)[3])
{
  T a = 1, b = 0, a_before = 0, b_before = 0;
  for (int m = 0; m <= l_max; ++m) {
    for (int l = m; l <= l_max; ++l) {
      const T by_a = harmonic_norm<T>(l, m) * grad[l * l + l + m];
      const T by_b = harmonic_norm<T>(l, m) * grad[l * l + l - m];    // times B_0 = 0 for m = 0
      const T p = T(m) * legendre_derivative(l, m, u[1]);
      grad_u[0] += p * (by_b * a_before - by_a * b_before);
      grad_u[1] += legendre_derivative(l, m + 1, u[1]) * (by_a * a + by_b * b);
      grad_u[2] += p * (by_a * a_before + by_b * b_before);
    }
    a_before = a;
    b_before = b;
    a = u[2] * a_before - u[0] * b_before;
    b = u[2] * b_before + u[0] * a_before;
  }
}

template <typename T> T length_of(const Edges<T> &edges, int64_t e)
{
  const T *v = edges.vectors + 3 * e;
  return std::sqrt(std::max(v[0] * v[0] + v[1] * v[1] + v[2] * v[2], T(1e-12)));
}

/// u(r) = (1 - s)^3 sum_k (k + 1) (k + 2) / 2 s^k with s = r / cutoff and k = 0 .. p - 1, and
/// du/dr = -p (p + 1) (p + 2) / 2 s^(p-1) (1 - s)^2 / cutoff. Without an envelope, p = 0: 1 and 0.
template <typename T> struct Envelope {
  T value = 1, slope = 0;
  Envelope(const Model<T> &m, T r)
  {
    const int p = m.envelope_power;
    if (p == 0) return;
    const T s = std::min(r / m.cutoff, T(1)), gap = T(1) - s;
    T total = 0;
    for (int k = p - 1; k >= 0; --k) total = total * s + T(k + 1) * T(k + 2) / 2;
    slope = -T(p) * T(p + 1) * T(p + 2) / 2 * std::pow(s, T(p - 1)) * gap * gap / m.cutoff;
    value = gap * gap * gap * total;
  }
};

/// Where a length stands in a table, interval and t from 0 to 1, and the powers t^q with their
/// derivatives by the length.
template <typename T> struct Powers {
  int interval;
  T value[6], slope[6];
  Powers(T r, T spacing, int n_intervals)
      : interval(std::min(static_cast<int>(r / spacing), n_intervals - 1))
  {
    const T t = r / spacing - T(interval);
    value[0] = 1;
    slope[0] = 0;
    for (int q = 1; q < 6; ++q) {
      slope[q] = T(q) * value[q - 1] / spacing;
      value[q] = value[q - 1] * t;
    }
  }
};

template <typename T> class Edge {
 public:
  T r, envelope, envelope_slope;
  T *matrix;    // (l_max + 1, d, d) by degree of the harmonics: K_ki = sum_j M_kij Y_j(u)
  T *weight;    // (n_weights, C) w = u(r) f(r), see Radial
  T *by_matrix, *by_weight;    // gradients, zero after `set`
  T by_length;                 // gradient with respect to r, but for what goes through w

  static size_t scratch_size(const Model<T> &m)
  {
    return 2 * (static_cast<size_t>(m.l_max + 1) * m.d * m.d + m.d) +
           3 * static_cast<size_t>(m.n_weights) * m.n_channels;
  }

  Edge(const Model<T> &model, Scratch<T> &scratch)
      : matrix(scratch.take(n_entries(model))), weight(scratch.take(n_numbers(model))),
        by_matrix(scratch.take(n_entries(model))), by_weight(scratch.take(n_numbers(model))),
        m(model), weight_slope(scratch.take(n_numbers(model))), y(scratch.take(model.d)),
        by_y(scratch.take(model.d))
  {
  }

  void set(const Edges<T> &edges, const Radial<T> &radial, int64_t e)
  {
    r = length_of(edges, e);
    for (int k = 0; k < 3; ++k) unit[k] = edges.vectors[3 * e + k] / r;
    const Envelope<T> u(m, r);
    envelope = u.value;
    envelope_slope = u.slope;
    n_weights = radial.n_weights;
    set_matrix();
    set_weight(radial, radial.n_slots > 1 ? edges.slot_of_pair[edges.pair[e]] : 0);
    clear(by_matrix, n_entries(m));
    clear(by_weight, n_numbers(m));
    by_length = 0;
  }

  /// Where the weights stand of the path with harmonics of degree l from component j to component
  /// k of the product; -1 if there is none.
  int weight_of(int k, int j, int l) const
  {
    if (n_weights == 1) return 0;
    int n = 0;
    for (int product = 0; product <= m.l_max; ++product)
      for (int first = 0; first <= m.l_max; ++first)
        for (int second = 0; second <= m.l_max; ++second) {
          if ((product + first + second) % 2 != 0 || second > product + first ||
              second < std::abs(product - first))
            continue;
          if (product == degree(k) && first == degree(j) && second == l) return n * m.n_channels;
          ++n;
        }
    return -1;
  }

  /// Entry of the matrix between a scalar and component k: one degree of harmonics has it.
  int first_entry(int k) const { return (degree(k) * m.d + k) * m.d; }
  T first_column(int k) const { return matrix[first_entry(k)]; }

  /// Where the weights stand in the embedding, from a scalar.
  int embedding_weight_of(int k) const { return n_weights == 1 ? 0 : degree(k) * m.n_channels; }

  /// visit(entry of matrix, k, j, place of the weights) for the rows k < d_out
  template <typename Visit> void for_entries(int d_out, Visit visit) const
  {
    for (int l = 0; l <= m.l_max; ++l)
      for (int k = 0; k < d_out; ++k)
        for (int j = 0; j < m.d; ++j)
          if (const int at = weight_of(k, j, l); at >= 0) visit((l * m.d + k) * m.d + j, k, j, at);
  }

  /// out_k = sum_j w K_kj v_j for the rows k < d_out, of d rows v
  void product(const T *v, T *out, int d_out) const
  {
    const int n = m.n_channels;
    clear(out, static_cast<size_t>(d_out) * n);
    for_entries(d_out, [&](int entry, int k, int j, int at) {
      for (int c = 0; c < n; ++c) out[k * n + c] += weight[at + c] * matrix[entry] * v[j * n + c];
    });
  }

  /// With g the gradient of the product:
  ///   dv_j += sum_k w K_kj g_k,  dK_kj += sum_c w g_k v_j,  dw += sum_kj g_k K_kj v_j
  void product_vjp(const T *v, const T *g, T *grad_v, int d_out)
  {
    const int n = m.n_channels;
    for_entries(d_out, [&](int entry, int k, int j, int at) {
      for (int c = 0; c < n; ++c) {
        const T gv = g[k * n + c] * v[j * n + c];
        grad_v[j * n + c] += weight[at + c] * matrix[entry] * g[k * n + c];
        by_matrix[entry] += weight[at + c] * gv;
        by_weight[at + c] += matrix[entry] * gv;
      }
    });
  }

  /// Adds to the gradient of the edge's vector v = r u, from dr = u dv and du = (1 - u u^T) dv / r.
  void add_gradient(const Edges<T> &edges, int64_t e)
  {
    for (int c = 0; c < n_weights * m.n_channels; ++c) by_length += by_weight[c] * weight_slope[c];
    T by_unit[3] = {};
    matrix_vjp(by_unit);
    const T along = unit[0] * by_unit[0] + unit[1] * by_unit[1] + unit[2] * by_unit[2];
    for (int k = 0; k < 3; ++k)
      edges.gradients[3 * e + k] += (by_unit[k] - along * unit[k]) / r + by_length * unit[k];
  }

 private:
  const Model<T> &m;
  int n_weights = 1;
  T *weight_slope;    // (n_weights, C) dw/dr
  T *y, *by_y;        // (d) spherical harmonics
  T unit[3];

  static size_t n_entries(const Model<T> &m)
  {
    return static_cast<size_t>(m.l_max + 1) * m.d * m.d;
  }
  static size_t n_numbers(const Model<T> &m)
  {
    return static_cast<size_t>(m.n_weights) * m.n_channels;
  }
  static int degree(int k)
  {
    int l = 0;
    while ((l + 1) * (l + 1) <= k) ++l;
    return l;
  }

  void set_matrix()
  {
    harmonics(unit, m.l_max, y);
    clear(matrix, n_entries(m));
    for (int entry = 0; entry < m.d * m.d; ++entry)
      for (int t = m.first_term[entry]; t < m.first_term[entry + 1]; ++t) {
        const int j = m.terms[t].j;
        matrix[degree(j) * m.d * m.d + entry] += m.terms[t].value * y[j];
      }
  }

  void matrix_vjp(T (&by_unit)[3])
  {
    clear(by_y, m.d);
    for (int entry = 0; entry < m.d * m.d; ++entry)
      for (int t = m.first_term[entry]; t < m.first_term[entry + 1]; ++t) {
        const int j = m.terms[t].j;
        by_y[j] += m.terms[t].value * by_matrix[degree(j) * m.d * m.d + entry];
      }
    harmonics_vjp(unit, m.l_max, by_y, by_unit);
  }

  /// w = u f, dw/dr = u' f + u f'
  void set_weight(const Radial<T> &radial, int slot)
  {
    const int n = n_weights * m.n_channels;
    const Powers<T> powers(r, m.cutoff / T(radial.n_intervals), radial.n_intervals);
    const ptrdiff_t interval = static_cast<ptrdiff_t>(slot) * radial.n_intervals + powers.interval;
    const T *coefficients = radial.table + interval * 6 * n;
    for (int c = 0; c < n; ++c) {
      T f = 0, f_slope = 0;
      for (int q = 0; q < 6; ++q) {
        f += powers.value[q] * coefficients[q * n + c];
        f_slope += powers.slope[q] * coefficients[q * n + c];
      }
      weight[c] = envelope * f;
      weight_slope[c] = envelope_slope * f + envelope * f_slope;
    }
  }
};

}    // namespace tdn::fused::reference
