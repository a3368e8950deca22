// One number instead of a vector, in standard C++: for compilers without vectors, and as the
// reference of the vectors. Rows then need no padding. The names are those of vector_lanes.h.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace tdn::TDN_ISA {

template <typename T> struct VectorOf {
  using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  using type = T;
  using integer = Integer;
};
template <typename T> using Vec = typename VectorOf<T>::type;

template <typename T> inline constexpr int LANES = 1;

template <typename T> TDN_INLINE Vec<T> load(const T *from)
{
  return *from;
}

template <typename T> TDN_INLINE void store(T *to, Vec<T> value)
{
  *to = value;
}

template <typename T> TDN_INLINE Vec<T> all(T value)
{
  return value;
}

template <typename T> TDN_INLINE T sum_of(Vec<T> v)
{
  return v;
}

template <typename T> TDN_INLINE T lane_of(Vec<T> v, int)
{
  return v;
}

template <typename T> TDN_INLINE Vec<T> permute(Vec<T> v, typename VectorOf<T>::integer)
{
  return v;
}

template <typename T>
TDN_INLINE typename VectorOf<T>::integer load_lanes(const typename VectorOf<T>::Integer *from)
{
  return *from;
}

template <typename T> TDN_INLINE Vec<T> sum_groups(Vec<T> v, int)
{
  return v;
}

template <typename T> TDN_INLINE typename VectorOf<T>::integer bits_of(Vec<T> v)
{
  return std::bit_cast<typename VectorOf<T>::integer>(v);
}

template <typename T> TDN_INLINE Vec<T> from_bits(typename VectorOf<T>::integer bits)
{
  return std::bit_cast<T>(bits);
}

}    // namespace tdn::TDN_ISA
