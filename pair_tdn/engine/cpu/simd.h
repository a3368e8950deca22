// Vectors of one instruction set. A translation unit defines TDN_ISA (the name of its namespace)
// and TDN_VECTOR_BYTES before this is included: the same templates, compiled for several
// instruction sets, must not share names, or the linker would mix them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define TDN_INLINE __attribute__((always_inline)) inline
#define TDN_FLATTEN __attribute__((always_inline))    // of a lambda, after its parameters
#define TDN_UNROLL _Pragma("GCC unroll 32")

namespace tdn::TDN_ISA {

template <typename T> struct VectorOf {
  using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T type __attribute__((vector_size(TDN_VECTOR_BYTES)));
  typedef T unaligned __attribute__((vector_size(TDN_VECTOR_BYTES), aligned(sizeof(T))));
  typedef Integer integer __attribute__((vector_size(TDN_VECTOR_BYTES)));
};
template <typename T> using Vec = typename VectorOf<T>::type;

/// Numbers in a vector.
template <typename T> inline constexpr int LANES = TDN_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <typename T> TDN_INLINE Vec<T> load(const T *from)
{
  return *reinterpret_cast<const typename VectorOf<T>::unaligned *>(from);
}

template <typename T> TDN_INLINE void store(T *to, Vec<T> value)
{
  *reinterpret_cast<typename VectorOf<T>::unaligned *>(to) = value;
}

template <typename T> TDN_INLINE Vec<T> all(T value)
{
  return value - Vec<T>{};
}

/// The sum of all lanes, by halves.
template <typename V> TDN_INLINE auto sum_of_lanes(V v)
{
  using T = std::remove_cvref_t<decltype(v[0])>;
  constexpr int N = sizeof(V) / sizeof(T);
  if constexpr (N == 2) return v[0] + v[1];
  else if constexpr (N == 4)
    return sum_of_lanes(__builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3));
  else if constexpr (N == 8)
    return sum_of_lanes(__builtin_shufflevector(v, v, 0, 1, 2, 3) +
                        __builtin_shufflevector(v, v, 4, 5, 6, 7));
  else
    return sum_of_lanes(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}

template <typename T> TDN_INLINE T sum_of(Vec<T> v)
{
  return sum_of_lanes(v);
}

/// Lanes of v in the order of `from`.
template <typename T> TDN_INLINE Vec<T> permute(Vec<T> v, typename VectorOf<T>::integer from)
{
  return __builtin_shuffle(v, from);
}

template <typename T>
TDN_INLINE typename VectorOf<T>::integer load_lanes(const typename VectorOf<T>::Integer *from)
{
  return *reinterpret_cast<const typename VectorOf<T>::integer *>(from);
}

/// In every lane the sum over its group of `width` lanes, a power of two.
template <typename T> TDN_INLINE Vec<T> sum_groups(Vec<T> v, int width)
{
  typename VectorOf<T>::integer lane;
  TDN_UNROLL
  for (int k = 0; k < LANES<T>; ++k) lane[k] = k;
  for (int step = 1; step < width; step *= 2) v += permute<T>(v, lane ^ step);
  return v;
}

/// 1 / v to the last digit or nearly so.
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
/// in the last place. Arguments are clamped to where the result is a normal number.
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
  using Int = typename VectorOf<T>::integer;
  return (Vec<T>) ((Int) sum + ((Int) shifted << SHIFT));
}

template <typename T> TDN_INLINE Vec<T> sigmoid(Vec<T> x)
{
  return reciprocal<T>(T(1) + exp_of<T>(-x));
}

}    // namespace tdn::TDN_ISA
