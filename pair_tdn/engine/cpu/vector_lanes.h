// Vectors of TDN_VECTOR_BYTES bytes by extensions of GCC and Clang, and functions that need them.
// Included by simd.h; one_lane.h has the same names for plain numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

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
#if defined(__clang__)
  return __builtin_shufflevector(v, from);
#else
  return __builtin_shuffle(v, from);
#endif
}

template <typename T>
TDN_INLINE typename VectorOf<T>::integer load_lanes(const typename VectorOf<T>::Integer *from)
{
  return *reinterpret_cast<const typename VectorOf<T>::integer *>(from);
}

template <typename T> TDN_INLINE T lane_of(Vec<T> v, int lane)
{
  return v[lane];
}

/// The same bits as integers.
template <typename T> TDN_INLINE typename VectorOf<T>::integer bits_of(Vec<T> v)
{
  return (typename VectorOf<T>::integer) v;
}

template <typename T> TDN_INLINE Vec<T> from_bits(typename VectorOf<T>::integer bits)
{
  return (Vec<T>) bits;
}

/// Sum over each lane's group of `width` lanes (a power of two), in every lane.
template <typename T> TDN_INLINE Vec<T> sum_groups(Vec<T> v, int width)
{
  typename VectorOf<T>::integer lane;
  TDN_UNROLL
  for (int k = 0; k < LANES<T>; ++k) lane[k] = k;
  for (int step = 1; step < width; step *= 2) v += permute<T>(v, lane ^ step);
  return v;
}

}    // namespace tdn::TDN_ISA
