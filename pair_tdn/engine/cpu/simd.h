// Vectors of one instruction set. A translation unit defines TDN_ISA (the name of its namespace)
// and TDN_VECTOR_BYTES before this is included: the same templates, compiled for several
// instruction sets, must not share names, or the linker would mix them. Vectors of 0 bytes are
// plain numbers, one lane in standard C++.
#pragma once

#define TDN_INLINE __attribute__((always_inline)) inline
#define TDN_FLATTEN __attribute__((always_inline))    // of a lambda, after its parameters
#define TDN_UNROLL _Pragma("GCC unroll 32")

#if TDN_VECTOR_BYTES == 0
#include "one_lane.h"
#else
#include "vector_lanes.h"
#endif

namespace tdn::TDN_ISA {

/// 1 / v, accurate to about the last digit.
template <typename T> TDN_INLINE Vec<T> reciprocal(Vec<T> v)
{
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const Vec<T> guess = (Vec<T>) _mm512_maskz_rcp14_ps(0xFFFF, (__m512) v);
    return guess * (T(2) - v * guess);
  }
#endif
  return T(1) / v;
}

template <typename T> TDN_INLINE Vec<T> least(Vec<T> a, Vec<T> b)
{
  return a < b ? a : b;
}

template <typename T> TDN_INLINE Vec<T> largest(Vec<T> a, Vec<T> b)
{
  return a > b ? a : b;
}

/// e^x by x = n ln 2 + f and the Taylor polynomial of e^f, |f| <= ln 2 / 2; errors of a few units
/// in the last place. Arguments are clamped so that the result is a normal number.
template <typename T> TDN_INLINE Vec<T> exp_of(Vec<T> x)
{
  constexpr bool SINGLE = sizeof(T) == 4;
  constexpr T HIGHEST = SINGLE ? T(88) : T(709), LOWEST = SINGLE ? T(-87) : T(-708);
  constexpr T MAGIC = SINGLE ? T(12582912) : T(6755399441055744);    // 1.5 * 2^(digits of mantissa)
  constexpr T LN2_HIGH = SINGLE ? T(0.693145751953125) : T(6.93147180369123816490e-01);
  constexpr T LN2_LOW = SINGLE ? T(1.42860682030941723212e-6) : T(1.90821492927058770002e-10);
  constexpr int DEGREE = SINGLE ? 7 : 13, SHIFT = SINGLE ? 23 : 52;
  x = largest<T>(least<T>(x, all(HIGHEST)), all(LOWEST));
  const Vec<T> shifted = x * T(1.4426950408889634074) + MAGIC;
  const Vec<T> n = shifted - MAGIC;
  const Vec<T> f = (x - n * LN2_HIGH) - n * LN2_LOW;
  constexpr double FACTORIAL[14] = {1,    1,     2,      6,       24,       120,       720,
                                    5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800};
  Vec<T> sum = all(T(1 / FACTORIAL[DEGREE]));
  TDN_UNROLL
  for (int k = DEGREE - 1; k >= 0; --k) sum = sum * f + T(1 / FACTORIAL[k]);
  return from_bits<T>(bits_of<T>(sum) + (bits_of<T>(shifted) << SHIFT));
}

template <typename T> TDN_INLINE Vec<T> sigmoid(Vec<T> x)
{
  return reciprocal<T>(T(1) + exp_of<T>(-x));
}

}    // namespace tdn::TDN_ISA
