// Real spherical harmonics of unit vectors and their derivatives, a vector of edges at once. Basis
// and recursions as in python/tdn/algebra/spherical_harmonics.py.
#pragma once

#include "simd.h"

namespace tdn::TDN_ISA {

/// A_m = Re (z + i x)^m, B_m = Im (z + i x)^m, and the m-th derivatives of the Legendre
/// polynomials.
template <typename T, int L> struct HarmonicParts {
  using V = Vec<T>;
  V cosine[L + 2], sine[L + 2], legendre[L + 2][L + 2];    // legendre[degree][order]

  TDN_INLINE HarmonicParts(V x, V y, V z)
  {
    cosine[0] = all(T(1));
    sine[0] = V{};
    TDN_UNROLL
    for (int m = 0; m < L; ++m) {
      cosine[m + 1] = z * cosine[m] - x * sine[m];
      sine[m + 1] = z * sine[m] + x * cosine[m];
    }
    T odd = 1;    // (2 m - 1)!!
    TDN_UNROLL
    for (int m = 0; m <= L + 1; ++m) {
      if (m > 0) odd *= T(2 * m - 1);
      TDN_UNROLL
      for (int l = 0; l <= L; ++l) {
        if (l < m) legendre[l][m] = V{};
        else if (l == m) legendre[l][m] = all(odd);
        else {
          const V before = l - 2 >= m ? legendre[l - 2][m] : V{};
          legendre[l][m] =
              (T(2 * l - 1) * y * legendre[l - 1][m] - T(l + m - 1) * before) * (T(1) / T(l - m));
        }
      }
    }
  }
};

/// sqrt((2 l + 1) (2 - delta_m0) (l - m)! / (l + m)!)
template <typename T> TDN_INLINE T harmonic_norm(int l, int m)
{
  double ratio = 1;
  for (int k = l - m + 1; k <= l + m; ++k) ratio /= k;
  return static_cast<T>(__builtin_sqrt((2 * l + 1) * (m == 0 ? 1.0 : 2.0) * ratio));
}

/// Calls visit(index, value) for every component, l-major.
template <typename T, int L, typename Visit>
TDN_INLINE void for_each_harmonic(Vec<T> x, Vec<T> y, Vec<T> z, Visit visit)
{
  const HarmonicParts<T, L> parts(x, y, z);
  TDN_UNROLL
  for (int l = 0; l <= L; ++l) {
    visit(l * l + l, harmonic_norm<T>(l, 0) * parts.legendre[l][0]);
    TDN_UNROLL
    for (int m = 1; m <= l; ++m) {
      const Vec<T> common = harmonic_norm<T>(l, m) * parts.legendre[l][m];
      visit(l * l + l - m, common * parts.sine[m]);
      visit(l * l + l + m, common * parts.cosine[m]);
    }
  }
}

/// sum_k gradient(k) dY_k / d(x, y, z), of Y as a function of three free coordinates.
template <typename T, int L, typename Gradient>
TDN_INLINE void harmonics_vjp(Vec<T> x, Vec<T> y, Vec<T> z, Gradient gradient, Vec<T> (&out)[3])
{
  using V = Vec<T>;
  const HarmonicParts<T, L> parts(x, y, z);
  out[0] = out[1] = out[2] = V{};
  TDN_UNROLL
  for (int l = 1; l <= L; ++l) {
    out[1] += harmonic_norm<T>(l, 0) * parts.legendre[l][1] * gradient(l * l + l);
    TDN_UNROLL
    for (int m = 1; m <= l; ++m) {
      const V by_sine = harmonic_norm<T>(l, m) * gradient(l * l + l - m);
      const V by_cosine = harmonic_norm<T>(l, m) * gradient(l * l + l + m);
      out[1] += parts.legendre[l][m + 1] * (by_sine * parts.sine[m] + by_cosine * parts.cosine[m]);
      const V common = T(m) * parts.legendre[l][m];
      out[2] += common * (by_sine * parts.sine[m - 1] + by_cosine * parts.cosine[m - 1]);
      out[0] += common * (by_sine * parts.cosine[m - 1] - by_cosine * parts.sine[m - 1]);
    }
  }
}

}    // namespace tdn::TDN_ISA
