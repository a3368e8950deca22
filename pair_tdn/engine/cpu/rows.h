// Rows of centers: arrays of d rows per center and `stride` numbers per row, chunk by chunk.
#pragma once

#include "kernels.h"

namespace tdn::TDN_ISA {

/// Centers in a chunk: enough rows for the matrix products of its node work.
inline constexpr int CHUNK = 24;

template <typename T> size_t chunk_size(const fused::Model<T> &m, int d)
{
  return static_cast<size_t>(CHUNK) * d * m.stride;
}

template <typename T> ptrdiff_t offset(const fused::Model<T> &m, int64_t center, int d)
{
  return center * static_cast<ptrdiff_t>(d) * m.stride;
}

/// visit(first center, number of centers)
template <typename T, typename Visit> void for_chunks(const fused::Range<T> &range, Visit visit)
{
  for (int64_t begin = range.begin; begin < range.end; begin += CHUNK)
    visit(begin, static_cast<int>(range.end - begin < CHUNK ? range.end - begin : CHUNK));
  range.lap(fused::NODES);
}

template <typename T> void clear(T *x, ptrdiff_t n)
{
  for (ptrdiff_t k = 0; k < n; ++k) x[k] = 0;
}

template <typename T> void copy(const T *from, T *to, ptrdiff_t n)
{
  for (ptrdiff_t k = 0; k < n; ++k) to[k] = from[k];
}

}    // namespace tdn::TDN_ISA
